//! What is refused of a request before the store is asked.

use std::collections::BTreeSet;

use etcd_client::proto::{
    PbDeleteRequest, PbPutRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp,
};

use crate::embedded::error::Error;
use crate::embedded::store::range;

/// Refuses what no store could put.
pub(crate) fn put(request: &PbPutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Refuses what no store could delete.
pub(crate) fn delete(request: &PbDeleteRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    Ok(())
}

/// Refuses a transaction that is too long, has a bad operation, or changes a
/// key twice. A nested one has what its outer one leaves of `max_ops`.
pub(crate) fn txn(request: &PbTxnRequest, max_ops: usize) -> Result<(), Error> {
    shape(request, max_ops)?;
    Touched::of(&request.success)?;
    Touched::of(&request.failure)?;
    Ok(())
}

fn shape(request: &PbTxnRequest, max_ops: usize) -> Result<(), Error> {
    let sides = [request.success.len(), request.failure.len()];
    let ops = sides.into_iter().fold(request.compare.len(), usize::max);
    let left = max_ops.checked_sub(ops).ok_or(Error::TooManyOps)?;
    if request.compare.iter().any(|c| c.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(PbTxnOpRequest::RequestRange(request)) => range::check(request)?,
            Some(PbTxnOpRequest::RequestPut(request)) => put(request)?,
            Some(PbTxnOpRequest::RequestDeleteRange(request)) => delete(request)?,
            Some(PbTxnOpRequest::RequestTxn(request)) => shape(request, left)?,
            // etcd's answer to an operation that it does not know.
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What one side of a transaction changes.
///
/// As etcd's, this takes ranges as they are written: one that ends with a zero
/// byte, for all keys after, meets no put. It also lets a nested transaction
/// delete what an earlier one beside it put; the writer can do both.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Touched<'a> {
    fn of(ops: &'a [PbTxnRequestOp]) -> Result<Self, Error> {
        let mut touched = Self::default();
        for op in ops {
            if let Some(PbTxnOpRequest::RequestDeleteRange(delete)) = &op.request {
                touched.deletes.push((&delete.key, &delete.range_end));
            }
        }
        for op in ops {
            if let Some(PbTxnOpRequest::RequestTxn(nested)) = &op.request {
                touched.nested(nested)?;
            }
        }
        for op in ops {
            if let Some(PbTxnOpRequest::RequestPut(put)) = &op.request {
                touched.put(&put.key)?;
            }
        }
        Ok(touched)
    }

    /// Only one side of the nested one is done, so both may change a key.
    fn nested(&mut self, nested: &'a PbTxnRequest) -> Result<(), Error> {
        let then = Self::of(&nested.success)?;
        let otherwise = Self::of(&nested.failure)?;
        for key in then.puts.union(&otherwise.puts) {
            self.put(key)?;
        }
        self.deletes.extend(then.deletes);
        self.deletes.extend(otherwise.deletes);
        Ok(())
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        let deleted = |(begin, end): &(&[u8], &[u8])| match *end {
            [] => *begin == key,
            end => *begin <= key && key < end,
        };
        if self.deletes.iter().any(deleted) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

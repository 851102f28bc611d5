//! The conditions of a transaction.

use std::cmp::Ordering;

use etcd_client::proto::{PbCompare, PbCompareTarget, PbKeyValue, PbTargetUnion};

use crate::embedded::store::Store;
use crate::embedded::store::range::KeyRange;

/// The numbers of `CompareResult`, which the stubs do not export.
const EQUAL: i32 = 0;
const GREATER: i32 = 1;
const LESS: i32 = 2;
const NOT_EQUAL: i32 = 3;

/// Whether a condition holds for all keys of its range. A range without keys
/// is compared as one key with all numbers 0; but a value that is not there
/// compares with nothing.
pub(super) fn holds(store: &Store, compare: &PbCompare) -> bool {
    let range = KeyRange::new(&compare.key, &compare.range_end);
    let mut kvs = store.current.range::<[u8], _>(range.bounds()).peekable();
    if kvs.peek().is_none() {
        let of_value = compare.target == PbCompareTarget::Value as i32;
        return !of_value && holds_for(&PbKeyValue::default(), compare);
    }
    kvs.all(|(_, kv)| holds_for(kv, compare))
}

fn holds_for(kv: &PbKeyValue, compare: &PbCompare) -> bool {
    let order = order(kv, compare);
    match compare.result {
        EQUAL => order.is_eq(),
        GREATER => order.is_gt(),
        LESS => order.is_lt(),
        NOT_EQUAL => order.is_ne(),
        // A client of the future asks for what etcd does not know: it holds.
        _ => true,
    }
}

/// How a key's value stands to the given one. One that is given for another
/// target counts as none, and none as 0 or empty.
fn order(kv: &PbKeyValue, compare: &PbCompare) -> Ordering {
    let given = compare.target_union.as_ref();
    match PbCompareTarget::try_from(compare.target) {
        Ok(PbCompareTarget::Version) => kv.version.cmp(&match given {
            Some(PbTargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        Ok(PbCompareTarget::Create) => kv.create_revision.cmp(&match given {
            Some(PbTargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(PbCompareTarget::Mod) => kv.mod_revision.cmp(&match given {
            Some(PbTargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(PbCompareTarget::Value) => kv.value[..].cmp(match given {
            Some(PbTargetUnion::Value(value)) => value,
            _ => &[],
        }),
        Ok(PbCompareTarget::Lease) => kv.lease.cmp(&match given {
            Some(PbTargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        Err(_) => Ordering::Equal,
    }
}

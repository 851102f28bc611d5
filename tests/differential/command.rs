//! What clients ask of a registry, as a model that means the same on every server: revisions are told
//! relative to the present or to the case's start, leases by slot.

/// One call, by one of several clients.
#[derive(Debug, Clone)]
pub struct Step {
    pub client: usize,
    pub command: Command,
}

#[derive(Debug, Clone)]
pub enum Command {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    Compact(Rev),
    Grant {
        lease: Lease,
        ttl: i64,
    },
    Revoke(Lease),
    KeepAlive(Lease),
    TimeToLive {
        lease: Lease,
        keys: bool,
    },
    Leases,
    /// Waits until the lease has ended by itself.
    Expire(Lease),
    Watch {
        stream: usize,
        watch: Watch,
    },
    /// Cancels the stream's watch of that number, in the order in which they were created.
    CancelWatch {
        stream: usize,
        number: usize,
    },
    /// Cancels an id that was never given.
    CancelUnknown {
        stream: usize,
    },
    Progress {
        stream: usize,
    },
}

/// A revision that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rev {
    /// Zero.
    Unset,
    /// Counted from the newest revision that the clients know.
    Present(i64),
    /// Counted from the case's start, which is compacted.
    Start(i64),
    /// Sent as it is.
    Exact(i64),
}

/// A lease by its place, since the ids that a server chooses differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Id 0: none, and the server's choice when it is granted.
    Zero,
    /// An id chosen by the client.
    Slot(u8),
    /// The newest one that the server chose.
    Chosen,
    /// A negative id, chosen by the client.
    Negative,
}

#[derive(Debug, Clone)]
pub enum Bytes {
    Text(&'static [u8]),
    /// So many bytes, not to be printed.
    Long(usize),
}

impl Bytes {
    pub fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.to_vec(),
            Self::Long(length) => vec![b'x'; *length],
        }
    }
}

/// A key and a range end, as they are sent.
#[derive(Debug, Clone)]
pub struct Span {
    pub key: &'static [u8],
    pub end: &'static [u8],
}

#[derive(Debug, Clone)]
pub struct Range {
    pub span: Span,
    pub limit: i64,
    pub revision: Rev,
    /// `RangeRequest.SortOrder`, also one that there is not.
    pub order: i32,
    /// `RangeRequest.SortTarget`, also one that there is not.
    pub target: i32,
    pub serializable: bool,
    pub keys_only: bool,
    pub count_only: bool,
    pub min_mod: Rev,
    pub max_mod: Rev,
    pub min_create: Rev,
    pub max_create: Rev,
}

#[derive(Debug, Clone)]
pub struct Put {
    pub key: &'static [u8],
    pub value: Bytes,
    pub lease: Lease,
    pub prev: bool,
    pub ignore_value: bool,
    pub ignore_lease: bool,
}

#[derive(Debug, Clone)]
pub struct Delete {
    pub span: Span,
    pub prev: bool,
}

#[derive(Debug, Clone)]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Op>,
    pub failure: Vec<Op>,
}

#[derive(Debug, Clone)]
pub enum Op {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    /// So many puts of keys of their own.
    Puts(usize),
    /// A `RequestOp` with nothing in it.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Compare {
    pub span: Span,
    /// `Compare.CompareResult`.
    pub result: i32,
    pub with: With,
}

/// What is compared with what.
#[derive(Debug, Clone)]
pub enum With {
    Version(i64),
    Create(Rev),
    Mod(Rev),
    Value(&'static [u8]),
    Lease(Lease),
    /// A target whose operand is missing.
    Missing(i32),
}

#[derive(Debug, Clone)]
pub struct Watch {
    pub span: Span,
    pub start: Rev,
    /// 0 for the server's choice.
    pub id: i64,
    pub no_put: bool,
    pub no_delete: bool,
    pub prev: bool,
    pub fragment: bool,
    pub progress: bool,
}

impl Range {
    /// All of a span, as it is now.
    pub fn of(span: Span) -> Self {
        Self {
            span,
            limit: 0,
            revision: Rev::Unset,
            order: 0,
            target: 0,
            serializable: false,
            keys_only: false,
            count_only: false,
            min_mod: Rev::Unset,
            max_mod: Rev::Unset,
            min_create: Rev::Unset,
            max_create: Rev::Unset,
        }
    }
}

impl Put {
    pub fn of(key: &'static [u8], value: &'static [u8]) -> Self {
        Self {
            key,
            value: Bytes::Text(value),
            lease: Lease::Zero,
            prev: false,
            ignore_value: false,
            ignore_lease: false,
        }
    }

    pub fn under(self, lease: Lease) -> Self {
        Self { lease, ..self }
    }
}

impl Watch {
    /// Everything from now on.
    pub fn of(span: Span) -> Self {
        Self {
            span,
            start: Rev::Unset,
            id: 0,
            no_put: false,
            no_delete: false,
            prev: false,
            fragment: false,
            progress: false,
        }
    }
}

impl Span {
    pub const ALL: Self = Self {
        key: b"\0",
        end: b"\0",
    };

    pub const fn one(key: &'static [u8]) -> Self {
        Self { key, end: b"" }
    }

    pub const fn to(key: &'static [u8], end: &'static [u8]) -> Self {
        Self { key, end }
    }
}

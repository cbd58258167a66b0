//! What the verbs of L2 are asked and answer, as far as the machine decides by it. The verbs
//! themselves are in [`ports::remote`](crate::ports::remote).

/// What must hold for a conditional insert. Present means: a value, readable and fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key must be absent.
    Absent,
    /// The key must be present.
    Present,
}

/// The outcome of a fill or a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The value stands in L2.
    Stored,
    /// The lease is not the token's, or the value's life was over.
    Refused,
}

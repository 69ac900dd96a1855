//! How large expressions and what they look at may be.

/// The longest expression, in bytes: 2000, a screen of text. What is longer wants to be several rules.
pub const SOURCE: usize = 2000;

/// How deep an expression may be nested: 24 steps from the whole to its smallest part, twice what people write. It is evaluated by
/// recursion, and this fits into three quarters of a data thread's stack even where nothing is optimised.
pub const DEPTH: usize = 24;

/// How deep loops (`all`, `exists`, `exists_one`, `map`, `filter`) may be nested: 3, for lists in lists in lists.
pub const LOOPS: usize = 3;

/// How many elements the loops of all rules may go over for one call: 10 000, which take some milliseconds.
pub const STEPS: u32 = 10_000;

/// The longest arguments that rules look at, in bytes: 256 KiB, a long text file. A call with longer ones is denied where a rule
/// would have to read them.
pub const ARGUMENTS: usize = 256 << 10;

/// How many values the arguments may have: 10 000, as many as loops may go over.
pub const VALUES: usize = 10_000;

/// The largest regular expression, in bytes once it is compiled: 1 MiB, several times what a pattern with letters of all
/// alphabets takes.
pub const PATTERN: usize = 1 << 20;

/// How many rules a profile may have: 64. Each costs a call some microseconds.
pub const RULES: usize = 64;

/// The longest message of a rule, in characters: 300, which a person reads at a glance.
pub const MESSAGE: usize = 300;

//! What a caller's pattern is made of, where it is not in memory.

use crate::failure::Failure;
use crate::sized_struct::{self, SizedStruct};
use crate::tensor::{contrib_tensor, input, optional, optional_positions};
use contrib_core::{Argument, Cause, QueriesAndKeys};
use std::mem::offset_of;

/// Flag of `contrib_queries_and_keys`: a query sees no key after it.
pub const CONTRIB_CAUSAL: u64 = 1;

const KNOWN_FLAGS: u64 = CONTRIB_CAUSAL;

/// `first_query`: the queries are at the positions of the last keys.
const AT_THE_LAST_KEYS: i64 = -1;

/// The queries and keys that a pattern of attention is made of, where nobody has it in memory. For a query q and a key k
/// of one head, and their positions:
///
/// ```text
/// score   = score_scale * <queries[q], keys[k]>
/// score   = soft_cap * tanh(score / soft_cap)              where soft_cap is not 0
/// score  += slope * (key_position - query_position)        where there are slopes (ALiBi)
/// score  += mask[q, k]                                     where there is a mask; -inf: not allowed
/// allowed: key_position <= query_position                  with CONTRIB_CAUSAL
///          key_position > query_position - window          where window is not 0
///          key_position >= 0                               a negative one is an empty cell of a cache
/// pattern = exp(score) / (sum over allowed keys of exp(score), and exp(sink) where there are sinks)
/// ```
///
/// What is not allowed has the pattern 0. A query with nothing allowed has the pattern 0 everywhere. The pattern exists a
/// block at a time. Every tensor has its own dtype; positions are int32 or int64.
///
/// | tensor | in `contrib_attention_inputs` | in `contrib_group` |
/// |---|---|---|
/// | `queries` | `[batch, pos, head, d]` | `[p.., v.., d]`, of which the last of `p..` is 1 |
/// | `keys` | `[batch, key_pos, kv_head, d]` | `[p.., v.., d]` |
/// | `slopes`, `sinks` | `[head]` | `p..` but for the last |
/// | `mask` | `[batch, head, pos, key_pos]` | `[p.., v..]` |
/// | `query_positions` | `[batch, pos]` | `v..` |
/// | `key_positions` | `[batch, key_pos]` | `[k, v..]`, k the last of `p..` |
///
/// Any extent of the axes `p..` and `v..`, and of `slopes`, `sinks`, `mask` and positions, may be 1: the same for all along
/// that axis. d need not be the length of a value.
///
/// Begin with `contrib_queries_and_keys queries_and_keys = CONTRIB_QUERIES_AND_KEYS_INIT;`. Later versions may append
/// fields, for which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_queries_and_keys {
    /// `sizeof(contrib_queries_and_keys)`.
    pub struct_size: usize,
    /// Queries as they are multiplied: after position encoding and any normalisation.
    pub queries: *const contrib_tensor,
    /// Keys as they are multiplied.
    pub keys: *const contrib_tensor,
    /// By what the inner product is multiplied; 0: 1 / sqrt(d).
    pub score_scale: f64,
    /// What no score exceeds in magnitude; 0: nothing.
    pub soft_cap: f64,
    /// What a score gains for each position that its key is after its query (ALiBi), or NULL.
    pub slopes: *const contrib_tensor,
    /// Scores of a key of which nothing is added to the stream, or NULL.
    pub sinks: *const contrib_tensor,
    /// What is added to each score, or NULL.
    pub mask: *const contrib_tensor,
    /// The position of each query, or NULL: they follow `first_query` one by one.
    pub query_positions: *const contrib_tensor,
    /// The position of each key, or NULL: 0, 1, 2 and so on.
    pub key_positions: *const contrib_tensor,
    /// The position of the first query; -1, to which `CONTRIB_QUERIES_AND_KEYS_INIT` sets it: the queries are at the
    /// positions of the last keys. Not used where there are `query_positions`.
    pub first_query: i64,
    /// How many positions, its own included, a query sees at most before it; 0: all.
    pub window: u64,
    /// `CONTRIB_CAUSAL`, or 0.
    pub flags: u64,
}

// SAFETY: pointers and numbers after the size.
unsafe impl SizedStruct for contrib_queries_and_keys {
    const FIRST_SIZE: usize = offset_of!(contrib_queries_and_keys, flags) + size_of::<u64>();
}

/// The queries and keys of a call, or nothing where the pointer is null. `argument` names a field of the struct that holds
/// the pointer; so are the fields of the struct itself named.
///
/// # Safety
/// - `given` is null or points to as many bytes as its `struct_size` says.
/// - Its tensors are as for [`input`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read<'a>(
    argument: impl Fn(&'static str) -> Argument,
    given: *const contrib_queries_and_keys,
) -> Result<Option<QueriesAndKeys<'a>>, Failure> {
    if given.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not null, so that it points to as many bytes as it says.
    let (given, _) =
        unsafe { sized_struct::read(argument("queries_and_keys"), given, contrib_queries_and_keys::FIRST_SIZE)? };
    if given.flags & !KNOWN_FLAGS != 0 {
        let argument = argument("queries_and_keys.flags");
        return Err(Failure::Flags { argument, known: KNOWN_FLAGS, got: given.flags });
    }
    let first_query = match given.first_query {
        _ if !given.query_positions.is_null() => None,
        AT_THE_LAST_KEYS => None,
        got if got < 0 => {
            let cause = Cause::InvalidNumber { expected: "a position, or -1", got: got as f64 };
            return Err(Failure::of(argument("first_query"), cause));
        }
        first => Some(first),
    };
    // A window that no index reaches is none.
    let window = usize::try_from(given.window).ok().filter(|&window| window > 0);
    let unless_0 = |number: f64| if number == 0.0 { None } else { Some(number) };
    // SAFETY: the tensors are as for `input` by this function's contract.
    unsafe {
        Ok(Some(QueriesAndKeys {
            queries: input(argument("queries"), given.queries)?,
            keys: input(argument("keys"), given.keys)?,
            score_scale: unless_0(given.score_scale),
            soft_cap: unless_0(given.soft_cap),
            slopes: optional(argument("slopes"), given.slopes)?,
            sinks: optional(argument("sinks"), given.sinks)?,
            mask: optional(argument("mask"), given.mask)?,
            causal: given.flags & CONTRIB_CAUSAL != 0,
            window,
            first_query,
            query_positions: optional_positions(argument("query_positions"), given.query_positions)?,
            key_positions: optional_positions(argument("key_positions"), given.key_positions)?,
        }))
    }
}

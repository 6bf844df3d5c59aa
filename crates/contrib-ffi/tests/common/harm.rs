//! Calls that are watched: which bytes they change, of all memory that they could reach.

use super::{Arg, Call, message};
use contrib::status::{CONTRIB_OK, contrib_status};
use contrib_testing::Stored;
use std::collections::HashSet;

/// The bytes of a buffer, and where they are.
#[derive(Debug, PartialEq)]
struct Bytes(usize, Vec<u8>);

impl Bytes {
    fn of(stored: &Stored) -> Self {
        let (start, len) = (stored.numbers.as_ptr(), stored.numbers.len() * stored.kind().size());
        let read = |index| {
            // SAFETY: the byte belongs to the buffer's numbers, which have no padding.
            unsafe { start.add(index).read() }
        };
        Bytes(start.addr(), (0..len).map(read).collect())
    }
}

fn all_bytes(call: &Call) -> Vec<Bytes> {
    call.stored.iter().chain(&call.spare).map(Bytes::of).collect()
}

/// The bits of the results, read from where the call says that they are.
pub fn results_where_said(call: &Call) -> Vec<Vec<u64>> {
    let read = |arg: &Arg| {
        let bits = |address: usize| {
            let start = arg.data.cast::<u8>().with_addr(address);
            // SAFETY: the call has just written these bytes.
            (0..arg.size()).rev().fold(0, |bits, byte| bits << 8 | u64::from(unsafe { start.add(byte).read() }))
        };
        arg.addresses().into_iter().map(bits).collect()
    };
    call.args[call.inputs()..].iter().flatten().map(read).collect()
}

/// Runs a call that must fail with this status, and with this sentence where there is one; nothing may change.
pub fn fails(name: &str, call: &mut Call, status: contrib_status, sentence: Option<&str>) {
    fails_by(name, call, status, sentence, Call::run);
}

/// As [`fails`], for a call that is run by `run`.
pub fn fails_by(
    name: &str,
    call: &mut Call,
    status: contrib_status,
    sentence: Option<&str>,
    run: impl FnOnce(&mut Call) -> contrib_status,
) {
    let name = format!("{:?}: {name}", call.function);
    let (args, before) = (call.args.clone(), all_bytes(call));
    assert_eq!(run(call), status, "{name}: {}", message());
    assert!(all_bytes(call) == before, "{name}: memory has changed");
    assert_eq!(call.args, args, "{name}: shape or strides have changed");
    if let Some(sentence) = sentence {
        assert_eq!(message(), sentence, "{name}");
    }
}

/// Runs a call that must go well, and may change only the elements of its outputs.
pub fn goes_well(name: &str, call: &mut Call) {
    goes_well_by(name, call, Call::run);
}

/// As [`goes_well`], for a call that is run by `run`.
pub fn goes_well_by(name: &str, call: &mut Call, run: impl FnOnce(&mut Call) -> contrib_status) {
    let name = format!("{:?}: {name}", call.function);
    let (args, before) = (call.args.clone(), all_bytes(call));
    assert_eq!(run(call), CONTRIB_OK, "{name}: {}", message());
    assert_eq!(call.args, args, "{name}: shape or strides have changed");
    let outputs = call.args[call.inputs()..].iter().flatten();
    let own: HashSet<usize> =
        outputs.flat_map(|arg| arg.addresses().into_iter().flat_map(|address| address..address + arg.size())).collect();
    for (Bytes(start, before), Bytes(_, after)) in before.iter().zip(all_bytes(call)) {
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            assert!(
                *before == after || own.contains(&(start + index)),
                "{name}: a byte outside the outputs has changed"
            );
        }
    }
}

/// As [`goes_well`], with the bits of the same call in its plainest form.
pub fn gives_the_same(name: &str, call: &mut Call, plain: &mut Call) {
    let expected = plain.results_of_run();
    goes_well(name, call);
    assert_eq!(results_where_said(call), expected, "{:?}: {name}", call.function);
}

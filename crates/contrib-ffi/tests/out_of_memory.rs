//! Every request for memory that a call makes is refused in turn: the call must go well without it or say that it had
//! too little memory, and must never end the process.
//!
//! A refusal that the library does not expect ends the process that it happens in. Each case therefore runs in a process
//! of its own: this program, started again with the case in environment variables.

mod common;

use common::recorded::{Choices, Model, Recording, default_options};
use common::{Call, Function, Size, message};
use contrib::attention::{CONTRIB_ATTENTION_LEAVE_OUT_MASKED, CONTRIB_ATTENTION_SUM_HEADS};
use contrib::context::{
    contrib_context, contrib_context_free, contrib_context_limit_kept_memory, contrib_context_new,
    contrib_context_new_with_parallel_for, contrib_task,
};
use contrib::groups::{CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM};
use contrib::operations::contrib_contributions;
use contrib::prepared_projection::{contrib_prepared_projection_free, contrib_prepared_projection_new};
use contrib::routes::difference::{contrib_difference, contrib_difference_free, contrib_difference_new};
use contrib::routes::find::{
    CONTRIB_ALL_TARGETS, contrib_routes, contrib_routes_find, contrib_routes_free, contrib_routes_to,
};
use contrib::routes::finder::{
    contrib_routes_finder, contrib_routes_finder_find, contrib_routes_finder_free, contrib_routes_finder_new,
    contrib_routes_finder_truncate,
};
use contrib::routes::labels::{contrib_labels, contrib_text};
use contrib::routes::options::{
    CONTRIB_ROUTES_ALL_POSITIONS, CONTRIB_ROUTES_RENORMALISE, CONTRIB_ROUTES_SUM_HEADS, contrib_routes_options,
};
use contrib::routes::recording::{
    contrib_recording, contrib_recording_free, contrib_recording_new, contrib_recording_open,
};
use contrib::routes::totals::{contrib_totals, contrib_totals_add, contrib_totals_free, contrib_totals_new};
use contrib::routes::write::{
    CONTRIB_FORMAT_CSV, CONTRIB_FORMAT_DOT, CONTRIB_FORMAT_HTML, CONTRIB_FORMAT_JSON, CONTRIB_FORMAT_SVG,
    contrib_routes_write,
};
use contrib::status::{
    CONTRIB_ERROR_NORM, CONTRIB_ERROR_NULL_POINTER, CONTRIB_ERROR_OUT_OF_MEMORY, CONTRIB_OK, contrib_status,
};
use contrib_testing::{Kind, Layout, Random, Stored};
use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_void};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, fmt, process, ptr, slice, thread};

/// The system's allocator, which refuses requests while it is told to.
struct Refusing;

/// Whether requests are counted and may be refused.
static ARMED: AtomicBool = AtomicBool::new(false);

/// Requests since then.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// The number, from 0, of the first request that is refused.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Whether later requests are refused, too.
static REFUSES_LATER: AtomicBool = AtomicBool::new(false);

/// Whether requests of other threads than the one that armed the allocator count.
static COUNTS_OTHERS: AtomicBool = AtomicBool::new(false);

/// Whether the first request that is refused is reported to the error stream.
static EXPLAINS: AtomicBool = AtomicBool::new(false);

/// Whether a thread is reporting a request. All are granted meanwhile, so that no other thread ends the process first.
static IS_EXPLAINING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread has armed the allocator.
    static IS_ARMING: Cell<bool> = const { Cell::new(false) };
}

fn is_refused() -> bool {
    let counts = ARMED.load(Ordering::Acquire)
        && !IS_EXPLAINING.load(Ordering::Relaxed)
        && (IS_ARMING.get() || COUNTS_OTHERS.load(Ordering::Relaxed));
    if !counts {
        return false;
    }
    let (request, refused) = (REQUESTS.fetch_add(1, Ordering::AcqRel), REFUSED.load(Ordering::Relaxed));
    if request == refused && EXPLAINS.load(Ordering::Relaxed) {
        IS_EXPLAINING.store(true, Ordering::Relaxed);
        eprintln!("{}", Backtrace::force_capture());
        IS_EXPLAINING.store(false, Ordering::Relaxed);
    }
    request == refused || request > refused && REFUSES_LATER.load(Ordering::Relaxed)
}

// SAFETY: null for what is refused; the system's allocator does all else.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        if is_refused() {
            return ptr::null_mut();
        }
        // SAFETY: the arguments are the caller's own.
        unsafe { System.alloc(memory) }
    }

    unsafe fn alloc_zeroed(&self, memory: Memory) -> *mut u8 {
        if is_refused() {
            return ptr::null_mut();
        }
        // SAFETY: the arguments are the caller's own.
        unsafe { System.alloc_zeroed(memory) }
    }

    unsafe fn realloc(&self, start: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        if is_refused() {
            return ptr::null_mut();
        }
        // SAFETY: the arguments are the caller's own.
        unsafe { System.realloc(start, memory, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, memory: Memory) {
        // SAFETY: the arguments are the caller's own.
        unsafe { System.dealloc(start, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Held by each test that arms the allocator.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which requests are refused.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// Those of all threads count, and not only those of the calling one.
    counts_others: bool,
    /// All after the first one that is refused are refused, too.
    refuses_later: bool,
}

impl Refusal {
    const ALL: [Refusal; 4] = [
        Refusal { counts_others: false, refuses_later: false },
        Refusal { counts_others: false, refuses_later: true },
        Refusal { counts_others: true, refuses_later: false },
        Refusal { counts_others: true, refuses_later: true },
    ];

    /// Runs `body` while the request with this number, from 0, is refused, and says whether there was such a request.
    fn of<R>(self, request: usize, body: impl FnOnce() -> R) -> (R, bool) {
        COUNTS_OTHERS.store(self.counts_others, Ordering::Relaxed);
        REFUSES_LATER.store(self.refuses_later, Ordering::Relaxed);
        REFUSED.store(request, Ordering::Relaxed);
        REQUESTS.store(0, Ordering::Relaxed);
        IS_ARMING.set(true);
        ARMED.store(true, Ordering::Release);
        let result = body();
        ARMED.store(false, Ordering::Release);
        IS_ARMING.set(false);
        (result, REQUESTS.load(Ordering::Acquire) > request)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.counts_others { "of any thread" } else { "of the caller" };
        write!(f, "{threads}{}", if self.refuses_later { " and all later ones" } else { "" })
    }
}

/// Changes a call of a function into another form.
type Form = (&'static str, fn(&mut Call));

/// Forms that every function has.
const FORMS: [Form; 6] = [
    ("plain", |_| ()),
    ("2-norm", |call| call.norm = 2.0),
    ("3-norm", |call| call.norm = 3.0),
    ("maximum norm", |call| call.norm = f64::INFINITY),
    ("threshold", |call| call.options_threshold = 0.01),
    ("column-major inputs", |call| {
        for number in 0..call.function.inputs() {
            let stored = call.stored[number].laid_out(Layout::column_major);
            call.place(number, stored);
        }
    }),
];

/// Further forms of one function.
fn own_forms(function: Function) -> &'static [Form] {
    match function {
        Function::Groups => &[("40 groups", forty_groups)],
        Function::FactoredGroups => &[
            ("without scale", |call| remove(call, "groups[0].scale")),
            ("vectors", |call| {
                let mut shape = shape(call, "groups[0].coefficients");
                shape.pop();
                shape.extend([1, width(call)]);
                read_instead(call, "groups[0].parts", &shape);
                remove(call, "groups[0].projection");
                remove(call, "groups[0].scale");
            }),
            ("each", |call| {
                let shape = shape(call, "groups[0].coefficients");
                write_instead(call, "groups[0].out", &shape);
                remove(call, "groups[0].indices");
            }),
            ("sums", |call| {
                let shape = shape(call, "whole");
                write_instead(call, "groups[0].out", &shape[..shape.len() - 1]);
                remove(call, "groups[0].indices");
                // The flags are those of this group alone.
                call.choices.flags = CONTRIB_GROUP_SUM;
            }),
            ("without zeros", |call| call.choices.flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS),
        ],
        Function::AttentionFactored => &[("sums", |call| {
            let shape = shape(call, "out_attn");
            write_instead(call, "out_attn", &shape[..3]);
            call.choices.result_flags = CONTRIB_ATTENTION_SUM_HEADS;
        })],
        Function::AttentionExtras => &[
            ("without scale", |call| remove(call, "scale")),
            ("without masked", |call| call.choices.flags = CONTRIB_ATTENTION_LEAVE_OUT_MASKED),
            ("each, without scale", |call| {
                call.choices.result_flags = 0;
                let (mut shape, heads) = (shape(call, "out_attn"), shape(call, "pattern")[1]);
                shape.push(heads);
                write_instead(call, "out_attn", &shape);
                remove(call, "scale");
            }),
        ],
        Function::AttentionFromScores => &[
            ("queries and keys alone", |call| {
                for name in ["slopes", "sinks", "mask", "query_positions", "key_positions"] {
                    remove(call, name);
                }
            }),
            ("without masked", |call| call.choices.flags = CONTRIB_ATTENTION_LEAVE_OUT_MASKED),
        ],
        Function::GroupsFromScores => &[
            ("each head", |call| call.choices.summed_axes = 0),
            ("without zeros", |call| call.choices.flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS),
        ],
        Function::SparseAttention => &[
            ("sums", |call| call.choices.result_flags = CONTRIB_ATTENTION_SUM_HEADS),
            ("largest", |call| {
                remove(call, "counts");
                remove(call, "left_out");
                call.choices.above = 0.0;
            }),
        ],
        _ => &[],
    }
}

/// The extents of the tensor with this name.
fn shape(call: &Call, name: &str) -> Vec<usize> {
    call.stored[call.number(name)].layout.shape.clone()
}

/// Elements of a whole.
fn width(call: &Call) -> usize {
    *call.stored[0].layout.shape.last().expect("wholes are vectors")
}

fn remove(call: &mut Call, name: &str) {
    let number = call.number(name);
    call.args[number] = None;
}

fn read_instead(call: &mut Call, name: &str, shape: &[usize]) {
    let (number, mut random) = (call.number(name), Random::new(3));
    let kind = call.stored[number].kind();
    call.place(number, Stored::from_fn(kind, Layout::row_major(shape), |_| random.normal()));
}

fn write_instead(call: &mut Call, name: &str, shape: &[usize]) {
    let number = call.number(name);
    call.place(number, Stored::blank(call.stored[number].kind(), Layout::row_major(shape)));
}

/// More groups than a list without a heap may have room for.
fn forty_groups(call: &mut Call) {
    let (whole, parts, out) = (call.stored[0].clone(), call.stored[1].clone(), call.stored[3].clone());
    let stored = [whole].into_iter().chain(vec![parts; 40]).chain(vec![out; 40]).collect();
    let context = call.context;
    *call = Call::new(Function::Groups, stored);
    call.context = context;
}

/// What runs in a process of its own.
#[derive(Clone, Copy)]
enum Case {
    /// A call, with so many threads; `None`: with the shared ones, which run already.
    Call { function: Function, kind: Kind, size: Size, threads: Option<usize>, form: Form },
    /// The first call of a process that is large enough for the shared threads, which it starts.
    FirstCall,
    /// A context of so many threads is made, used and freed.
    Context { threads: usize },
    /// A context of so many threads of a host is made, used and freed.
    HostContext { threads: usize },
    /// The matrices of heads are prepared on so many threads, and freed.
    Prepared { threads: usize },
    /// Routes are found in a recording, taken apart, summed up, compared and written.
    Routes { choices: Choices, flags: u64, from_file: bool, threads: usize },
}

impl Case {
    fn all() -> Vec<Case> {
        let mut all = vec![Case::FirstCall];
        all.extend([0, 1, 2].map(|threads| Case::Context { threads }));
        all.extend([1, 2].map(|threads| Case::HostContext { threads }));
        all.extend([1, 2].map(|threads| Case::Prepared { threads }));
        let every_flag = CONTRIB_ROUTES_RENORMALISE | CONTRIB_ROUTES_SUM_HEADS | CONTRIB_ROUTES_ALL_POSITIONS;
        for choices in Choices::all() {
            let case = |flags, from_file, threads| Case::Routes { choices, flags, from_file, threads };
            all.extend([case(0, false, 1), case(every_flag, true, 1)]);
        }
        let choices = Choices::default();
        all.push(Case::Routes { choices, flags: 0, from_file: false, threads: 2 });
        for function in Function::ALL {
            for (index, &form) in FORMS.iter().chain(own_forms(function)).enumerate() {
                let mut add = |kind, size, threads| all.push(Case::Call { function, kind, size, threads, form });
                add(Kind::F32, Size::Small, Some(1));
                add(Kind::F64, Size::Small, None);
                let is_own = index >= FORMS.len();
                if index == 0 || is_own {
                    add(Kind::F32, Size::Large, Some(2));
                }
                if index == 0 {
                    add(Kind::F32, Size::Large, Some(1));
                    add(Kind::F32, Size::Large, None);
                    add(Kind::F64, Size::Large, Some(2));
                }
            }
        }
        all
    }

    /// The refusals that differ: those of a call in one thread are the caller's.
    fn refusals(self) -> &'static [Refusal] {
        let is_inline = matches!(
            self,
            Case::Call { size: Size::Small, .. }
                | Case::Call { threads: Some(1), .. }
                | Case::Routes { threads: 1, .. }
        );
        if is_inline { &Refusal::ALL[..2] } else { &Refusal::ALL }
    }

    /// Refuses one request after the other from this one on, until there are no more.
    fn run(self, refusal: Refusal, first: usize) {
        match self {
            Case::Call { function, kind, size, threads, form: (_, change) } => {
                let context = threads.map(common::Context::new);
                let mut call = Call::random(function, kind, size);
                call.context = context.as_ref().map_or(ptr::null(), common::Context::get);
                change(&mut call);
                if let Some(context) = &context {
                    // With memory of earlier calls, and then without.
                    check_requests(&mut call, refusal, first);
                    // SAFETY: the context is alive.
                    assert_eq!(unsafe { contrib_context_limit_kept_memory(context.get(), 0) }, CONTRIB_OK);
                }
                check_requests(&mut call, refusal, first);
            }
            Case::FirstCall => {
                let mut call = Call::random(Function::Contributions, Kind::F32, Size::Large);
                let blank = call.stored.clone();
                let (status, is_refused) = try_request(&mut call, refusal, first);
                let found = call.results();
                // Expected results are computed last: before the call they would read what the first call reads.
                let mut inline = Call::random(Function::Contributions, Kind::F32, Size::Large);
                let context = common::Context::new(1);
                inline.context = context.get();
                check(status, &found, &inline.results_of_run(), &call.stored, &blank);
                assert_eq!(call.results_of_run(), inline.results(), "the call after it");
                if is_refused {
                    say(&Line::Next(first + 1));
                }
            }
            Case::Context { threads } => {
                // SAFETY: the pointer may be written.
                check_context(refusal, first, |context| unsafe { contrib_context_new(threads, context) });
            }
            Case::HostContext { threads } => check_context(refusal, first, |context| {
                let (function, data) = (Some(one_after_the_other as _), ptr::null_mut());
                // SAFETY: the function does what a host's must, and the pointer may be written.
                unsafe { contrib_context_new_with_parallel_for(threads, function, data, context) }
            }),
            Case::Prepared { threads } => check_prepared(threads, refusal, first),
            Case::Routes { choices, flags, from_file, threads } => {
                check_routes(choices, flags, from_file, threads, refusal, first);
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Call { function, kind, size, threads, form: (form, _) } => {
                write!(f, "{size:?} {function:?} of {}, {form}, ", kind.name())?;
                match threads {
                    Some(threads) => write!(f, "{threads} threads"),
                    None => f.write_str("shared threads"),
                }
            }
            Case::FirstCall => f.write_str("the call that starts the shared threads"),
            Case::Context { threads } => write!(f, "a context of {threads} threads"),
            Case::HostContext { threads } => write!(f, "a context of {threads} threads of a host"),
            Case::Prepared { threads } => write!(f, "matrices prepared by {threads} threads"),
            Case::Routes { choices, flags, from_file, threads } => {
                let from = if *from_file { "a file" } else { "callbacks" };
                write!(f, "routes from {from}, flags {flags}, {choices:?}, {threads} threads")
            }
        }
    }
}

/// What a process says of its case, in a line on the error stream.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// The request with this number is going to be refused, if there is one.
    Try(usize),
    /// It was.
    Refused,
    /// Another process must go on with this request.
    Next(usize),
    /// There are no more requests.
    Done,
}

impl Line {
    const MARK: &str = "out_of_memory: ";

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(Self::MARK)?.split(' ');
        let (word, number) = (words.next()?, words.next().and_then(|number| number.parse().ok()));
        match (word, number) {
            ("try", Some(request)) => Some(Line::Try(request)),
            ("refused", None) => Some(Line::Refused),
            ("next", Some(request)) => Some(Line::Next(request)),
            ("done", None) => Some(Line::Done),
            _ => None,
        }
    }
}

fn say(line: &Line) {
    match line {
        Line::Try(request) => eprintln!("{}try {request}", Line::MARK),
        Line::Refused => eprintln!("{}refused", Line::MARK),
        Line::Next(request) => eprintln!("{}next {request}", Line::MARK),
        Line::Done => eprintln!("{}done", Line::MARK),
    }
}

/// Runs a call while a request is refused, and says whether there was such a request.
fn try_request(call: &mut Call, refusal: Refusal, request: usize) -> (contrib_status, bool) {
    forget_message();
    say(&Line::Try(request));
    let options = call.options();
    let (status, is_refused) = call.run_inside(&raw const options, |call| refusal.of(request, call));
    if is_refused {
        say(&Line::Refused);
    }
    (status, is_refused)
}

/// Makes another message the last one.
fn forget_message() {
    let none = ptr::null();
    // SAFETY: NULL is allowed, and refused.
    assert_eq!(unsafe { contrib_contributions(none, none, none, ptr::null()) }, CONTRIB_ERROR_NULL_POINTER);
}

/// What must be so after a call one of whose requests was refused. `blank` is what was stored before it.
fn check(status: contrib_status, found: &[Vec<u64>], expected: &[Vec<u64>], stored: &[Stored], blank: &[Stored]) {
    if status == CONTRIB_OK {
        assert!(found == expected, "the results differ");
        return;
    }
    assert_eq!(status, CONTRIB_ERROR_OUT_OF_MEMORY, "{}", message());
    assert!(message().ends_with("bytes of working memory could not be allocated"), "{}", message());
    assert!(same_bits(stored, blank), "memory has changed");
}

fn same_bits(stored: &[Stored], others: &[Stored]) -> bool {
    stored.iter().zip(others).all(|(stored, other)| stored.buffer_bits() == other.buffer_bits())
}

/// Puts back what was stored. The memory stays where it is, since the call's arguments point to it.
fn restore(call: &mut Call, blank: &[Stored]) {
    let inputs = call.inputs();
    for (stored, blank) in call.stored.iter_mut().zip(blank).skip(inputs) {
        let bytes = blank.numbers.len() * blank.kind().size();
        assert_eq!((stored.kind(), stored.numbers.len()), (blank.kind(), blank.numbers.len()));
        // SAFETY: both have as many bytes, and one is the copy of the other.
        unsafe { stored.numbers.as_mut_ptr().copy_from_nonoverlapping(blank.numbers.as_ptr(), bytes) };
    }
}

fn check_requests(call: &mut Call, refusal: Refusal, first: usize) {
    let blank = call.stored.clone();
    let expected = call.results_of_run();
    let written = call.stored.clone();
    for request in first.. {
        restore(call, &blank);
        let (status, is_refused) = try_request(call, refusal, request);
        check(status, &call.results(), &expected, &call.stored, if status == CONTRIB_OK { &written } else { &blank });
        if !is_refused {
            assert_eq!(status, CONTRIB_OK, "no request was refused: {}", message());
            break;
        }
        restore(call, &blank);
        call.results_of_run();
        assert!(same_bits(&call.stored, &written), "the call after it gives other results");
        if EXPLAINS.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// A host without threads.
extern "C" fn one_after_the_other(_: *mut c_void, tasks: usize, task: contrib_task, data: *mut c_void) {
    let task = task.expect("a task is never NULL");
    // SAFETY: this function has not returned.
    (0..tasks).for_each(|index| unsafe { task(data, index) });
}

/// `new` makes the context.
fn check_context(refusal: Refusal, first: usize, new: impl Fn(*mut *mut contrib_context) -> contrib_status) {
    let mut call = Call::random(Function::Contributions, Kind::F32, Size::Large);
    let blank = call.stored.clone();
    let inline = common::Context::new(1);
    call.context = inline.get();
    let expected = call.results_of_run();
    for request in first.. {
        restore(&mut call, &blank);
        forget_message();
        say(&Line::Try(request));
        let mut options = call.options();
        let options = &raw mut options;
        let mut context: *mut contrib_context = ptr::null_mut();
        let (statuses, is_refused) = call.run_inside(options, |call| {
            refusal.of(request, || {
                let made = new(&raw mut context);
                if made != CONTRIB_OK {
                    return (made, None);
                }
                // SAFETY: nobody else uses the options.
                unsafe { (*options).context = context };
                let status = call();
                // SAFETY: the context was made above, and is freed once.
                unsafe { contrib_context_free(context) };
                (made, Some(status))
            })
        });
        if is_refused {
            say(&Line::Refused);
        }
        let (made, status) = statuses;
        assert_eq!(context.is_null(), made != CONTRIB_OK, "a context where there was an error");
        check(status.unwrap_or(made), &call.results(), &expected, &call.stored, &blank);
        if !is_refused {
            assert_eq!(statuses, (CONTRIB_OK, Some(CONTRIB_OK)), "no request was refused: {}", message());
            break;
        }
        assert_eq!(new(&raw mut context), CONTRIB_OK);
        restore(&mut call, &blank);
        call.context = context;
        assert!(call.results_of_run() == expected, "the call after it gives other results");
        // SAFETY: the context was made above, and is freed once.
        unsafe { contrib_context_free(context) };
        if EXPLAINS.load(Ordering::Relaxed) {
            break;
        }
    }
}

fn check_prepared(threads: usize, refusal: Refusal, first: usize) {
    let mut call = Call::random(Function::AttentionFactored, Kind::F32, Size::Large);
    let context = common::Context::new(threads);
    call.context = context.get();
    let (options, w_o) = (call.options(), call.arg("w_o").tensor());
    for request in first.. {
        forget_message();
        say(&Line::Try(request));
        let mut prepared = ptr::null_mut();
        let (status, is_refused) = refusal.of(request, || {
            // SAFETY: tensor and options are the call's own, and the pointer may be written.
            unsafe { contrib_prepared_projection_new(&raw const w_o, &raw const options, &raw mut prepared) }
        });
        if is_refused {
            say(&Line::Refused);
        }
        assert_eq!(prepared.is_null(), status != CONTRIB_OK, "an object where there was an error");
        // SAFETY: null, or made above and freed once.
        unsafe { contrib_prepared_projection_free(prepared) };
        if status != CONTRIB_OK {
            assert_eq!(status, CONTRIB_ERROR_OUT_OF_MEMORY, "{}", message());
            assert!(message().ends_with("bytes of working memory could not be allocated"), "{}", message());
        }
        if !is_refused {
            assert_eq!(status, CONTRIB_OK, "no request was refused: {}", message());
            break;
        }
        if EXPLAINS.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// A hash of all that is written, without memory of its own.
unsafe extern "C" fn hash(user_data: *mut c_void, bytes: *const c_char, len: usize) -> i32 {
    // SAFETY: it points to a number, and there are so many bytes.
    let (hash, bytes) = unsafe { (&mut *user_data.cast::<u64>(), slice::from_raw_parts(bytes.cast::<u8>(), len)) };
    for &byte in bytes {
        *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    0
}

/// What one use of the functions of routes makes.
struct Made {
    recording: *mut contrib_recording,
    routes: [*mut contrib_routes; 5],
    totals: [*mut contrib_totals; 2],
    difference: *mut contrib_difference,
    finder: *mut contrib_routes_finder,
    /// Of all that is written, and of the number of changes.
    hash: u64,
}

impl Made {
    const NOTHING: Made = Made {
        recording: ptr::null_mut(),
        routes: [ptr::null_mut(); 5],
        totals: [ptr::null_mut(); 2],
        difference: ptr::null_mut(),
        finder: ptr::null_mut(),
        hash: 0,
    };

    /// Uses all functions of routes, until one fails. The recording is that of the model, where none is given.
    fn fill(
        &mut self,
        model: &Model,
        given: *const contrib_recording,
        options: &contrib_routes_options,
    ) -> contrib_status {
        let (source, targets, token) =
            (model.source(), [5_usize, 2], contrib_text { bytes: c"a\xFF".as_ptr(), len: 2 });
        let next = 0.5;
        let labels = contrib_labels {
            struct_size: size_of::<contrib_labels>(),
            model: token,
            prompt: token,
            tokens: &raw const token,
            n_tokens: 1,
            next_tokens: &raw const token,
            next_probabilities: &raw const next,
            n_next_tokens: 1,
        };
        let hash_data = (&raw mut self.hash).cast();
        // SAFETY: what is made is alive, pointers may be written, and arrays are as long as is said.
        unsafe {
            let step = |status: contrib_status| if status == CONTRIB_OK { Ok(()) } else { Err(status) };
            let mut all = || {
                step(contrib_recording_new(&raw const source, &raw mut self.recording))?;
                let recording = if given.is_null() { self.recording } else { given };
                let all = CONTRIB_ALL_TARGETS;
                step(contrib_routes_find(recording, ptr::null(), all, options, &raw mut self.routes[0]))?;
                step(contrib_routes_find(recording, targets.as_ptr(), 2, options, &raw mut self.routes[1]))?;
                step(contrib_routes_to(self.routes[0], targets.as_ptr(), 1, 0.1, &raw mut self.routes[2]))?;
                step(contrib_totals_new(self.routes[0], &raw mut self.totals[0]))?;
                step(contrib_totals_new(self.routes[1], &raw mut self.totals[1]))?;
                step(contrib_totals_add(self.totals[0], self.totals[1]))?;
                step(contrib_difference_new(self.routes[0], self.routes[1], 0.0, &raw mut self.difference))?;
                step(contrib_routes_finder_new(&raw mut self.finder))?;
                for routes in &mut self.routes[3..] {
                    step(contrib_routes_finder_find(self.finder, recording, targets.as_ptr(), 2, options, routes))?;
                    contrib_routes_finder_truncate(self.finder, 4);
                    step(contrib_routes_write(*routes, ptr::null(), CONTRIB_FORMAT_CSV, Some(hash), hash_data))?;
                }
                for format in FORMATS {
                    step(contrib_routes_write(self.routes[2], &raw const labels, format, Some(hash), hash_data))?;
                }
                Ok(())
            };
            all().err().unwrap_or(CONTRIB_OK)
        }
    }
}

/// What routes are written as.
const FORMATS: [i32; 5] =
    [CONTRIB_FORMAT_JSON, CONTRIB_FORMAT_CSV, CONTRIB_FORMAT_DOT, CONTRIB_FORMAT_SVG, CONTRIB_FORMAT_HTML];

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: null, or made and freed once.
        unsafe {
            contrib_difference_free(self.difference);
            contrib_routes_finder_free(self.finder);
            for totals in self.totals {
                contrib_totals_free(totals);
            }
            for routes in self.routes {
                contrib_routes_free(routes);
            }
            contrib_recording_free(self.recording);
        }
    }
}

fn check_routes(choices: Choices, flags: u64, from_file: bool, threads: usize, refusal: Refusal, first: usize) {
    let (model, context) = (Model::new(choices, 1), common::Context::new(threads));
    // With memory that is kept, nearly all requests are those of the routes; without it there are the core's, too.
    if threads > 1 {
        // SAFETY: the context is alive.
        assert_eq!(unsafe { contrib_context_limit_kept_memory(context.get(), 0) }, CONTRIB_OK);
    }
    let file = from_file.then(|| Recording::of_file("memory", &model.file()));
    let given = file.as_ref().map_or(ptr::null(), |file| file.0.cast_const());
    let options = contrib_routes_options { flags, block: 4, context: context.get(), ..default_options() };
    let whole = || {
        let mut made = Made::NOTHING;
        assert_eq!(made.fill(&model, given, &options), CONTRIB_OK, "{}", message());
        made
    };
    let expected = whole().hash;
    for request in first.. {
        forget_message();
        say(&Line::Try(request));
        let mut made = Made::NOTHING;
        let (status, is_refused) = refusal.of(request, || made.fill(&model, given, &options));
        if is_refused {
            say(&Line::Refused);
        }
        if status == CONTRIB_OK {
            assert_eq!(made.hash, expected, "the results differ");
        } else {
            assert_eq!(status, CONTRIB_ERROR_OUT_OF_MEMORY, "{}", message());
            assert!(message().ends_with("memory could not be allocated"), "{}", message());
        }
        if !is_refused {
            assert_eq!(status, CONTRIB_OK, "no request was refused: {}", message());
            break;
        }
        if request % 8 == 0 {
            assert_eq!(whole().hash, expected, "the calls after it give other results");
        }
        if EXPLAINS.load(Ordering::Relaxed) {
            break;
        }
    }
}

#[test]
fn a_file_is_not_opened_without_the_memory_that_its_header_needs() {
    let _alone = alone();
    let path = CString::new(contrib_testing::routes::RECORDING).expect("no NUL");
    for refuses_later in [false, true] {
        let refusal = Refusal { counts_others: false, refuses_later };
        let mut recording = ptr::null_mut();
        // SAFETY: the path is a C string, and the pointer may be written.
        let (status, is_refused) =
            refusal.of(0, || unsafe { contrib_recording_open(path.as_ptr(), &raw mut recording) });
        assert!(is_refused && recording.is_null());
        assert_eq!(status, CONTRIB_ERROR_OUT_OF_MEMORY, "{}", message());
        assert!(message().ends_with(" bytes of memory could not be allocated"), "{}", message());
    }
}

/// The test that starts a process for each case, and that each such process runs.
const TEST: &str = "no_request_for_memory_that_is_refused_ends_the_process";

/// The environment variable that holds the case, the refusal and the first request; for an explanation one word more.
const VARIABLE: &str = "CONTRIB_OUT_OF_MEMORY_CASE";

/// How long a case may take before it counts as waiting for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said of it then.
const TOO_LONG: &str = "the case takes too long";

/// Tries that end a process before the rest of the case is given up.
const MAX_DEATHS: usize = 4;

/// Runs the case that the environment variable names, in a process of its own.
fn run_case(words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let number = |index: usize| words[index].parse::<usize>().expect("the parent writes numbers");
    EXPLAINS.store(words.len() > 3, Ordering::Relaxed);
    // Nothing is armed before the thread has all that it needs.
    let started: &'static Barrier = Box::leak(Box::new(Barrier::new(2)));
    thread::spawn(move || {
        started.wait();
        thread::sleep(PATIENCE);
        eprintln!("{TOO_LONG}");
        process::abort();
    });
    started.wait();
    let case = Case::all()[number(0)];
    case.run(case.refusals()[number(1)], number(2));
    say(&Line::Done);
}

/// What a process said, how it ended, and all its lines.
fn run_process(words: &str) -> (Vec<Line>, String, String) {
    let program = env::current_exe().expect("tests know where they are");
    let mut command = Command::new(program);
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env(VARIABLE, words);
    // The system's own report of a refusal would take most of the time.
    command.env("RUST_BACKTRACE", "0");
    // The first call of a process reads a variable, which takes memory where it is set. This one limits nothing.
    if env::var_os("CONTRIB_INSTRUCTION_SET").is_none() {
        command.env("CONTRIB_INSTRUCTION_SET", "avx512");
    }
    // Backtraces have absolute paths there.
    command.current_dir(env::temp_dir());
    let output = command.output().expect("the program runs already");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text.lines().filter_map(Line::parse).collect(), output.status.to_string(), text)
}

/// The functions of this repository in a backtrace, innermost first; what else was said where there are none.
fn frames(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_ours = |place: &str| place.contains("crates/contrib-") && place.contains("/src/");
    let ours = lines.iter().filter_map(|line| line.strip_prefix("at ")).filter(|place| is_ours(place));
    let ours: Vec<&str> = ours.map(|place| &place[place.find("crates/contrib-").unwrap_or(0)..]).take(5).collect();
    if ours.is_empty() { format!("(no function of this repository)\n{text}") } else { ours.join("\n    ") }
}

/// What became of the tries of all cases.
#[derive(Default)]
struct Tally {
    tries: usize,
    refused: usize,
    /// Where requests were made whose refusal went wrong, with what went wrong.
    wrong: BTreeMap<String, Vec<String>>,
}

impl Tally {
    fn add(&mut self, lines: &[Line]) {
        self.tries += lines.iter().filter(|line| matches!(line, Line::Try(_))).count();
        self.refused += lines.iter().filter(|&line| *line == Line::Refused).count();
    }
}

/// Runs all processes of a case with one refusal.
fn run_processes(number: usize, case: Case, refusal: usize, tally: &Mutex<Tally>) {
    let (mut request, mut deaths) = (0, 0);
    loop {
        let words = format!("{number} {refusal} {request}");
        let (lines, end, text) = run_process(&words);
        tally.lock().expect("no test has failed").add(&lines);
        request = match lines[..] {
            [.., Line::Next(next), Line::Done] => next,
            [.., Line::Done] => return,
            _ => {
                let last =
                    lines.iter().rev().find_map(|line| if let Line::Try(last) = line { Some(*last) } else { None });
                let panic = text.lines().skip_while(|line| !line.contains("panicked at") && *line != TOO_LONG).take(3);
                let what = panic.collect::<Vec<&str>>().join(" ");
                let what = format!("{case}: request {last:?} {}: {end} {what}", case.refusals()[refusal]);
                let explanation = last.map(|last| run_process(&format!("{number} {refusal} {last} explain")).2);
                let place = explanation.map_or("before the first try".to_owned(), |text| frames(&text));
                let mut tally = tally.lock().expect("no test has failed");
                tally.wrong.entry(place).or_default().push(what);
                let Some(last) = last else { return };
                deaths += 1;
                last + 1
            }
        };
        if deaths == MAX_DEATHS {
            return;
        }
    }
}

#[test]
fn no_request_for_memory_that_is_refused_ends_the_process() {
    if let Ok(words) = env::var(VARIABLE) {
        return run_case(&words);
    }
    let _alone = alone();
    let cases = Case::all();
    let jobs: Vec<(usize, usize)> = cases
        .iter()
        .enumerate()
        .flat_map(|(number, case)| (0..case.refusals().len()).map(move |refusal| (number, refusal)))
        .collect();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(number, refusal)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_processes(number, cases[number], refusal, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no test has failed");
    let wrong: Vec<String> = tally
        .wrong
        .iter()
        .map(|(place, what)| format!("{} times, first {}\n    {place}", what.len(), what[0]))
        .collect();
    println!("{} processes or more, {} tries, {} refused", jobs.len(), tally.tries, tally.refused);
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tally.tries >= jobs.len() && tally.refused >= 200, "{} tries, {} refused", tally.tries, tally.refused);
}

#[test]
fn a_request_is_refused_when_it_is_its_turn() {
    let _alone = alone();
    let reserve = || Vec::<u8>::new().try_reserve_exact(1000).is_ok();
    let reserve_three = || [reserve(), reserve(), reserve()];
    for refusal in Refusal::ALL {
        let later = !refusal.refuses_later;
        // Requests of the test harness's own threads may count where those of other threads do.
        if !refusal.counts_others {
            assert_eq!(refusal.of(0, reserve_three), ([false, later, later], true), "{refusal}");
            assert_eq!(refusal.of(1, reserve_three), ([true, false, later], true), "{refusal}");
            assert_eq!(refusal.of(3, reserve_three), ([true; 3], false), "{refusal}");
        }
        assert_eq!(reserve_three(), [true; 3], "{refusal} is over");
    }
    assert!(Vec::<u8>::new().try_reserve_exact(1000).is_ok());
}

#[test]
fn errors_are_told_without_memory() {
    let _alone = alone();
    let mut call = common::small(Function::Mlp);
    call.norm = 0.75;
    forget_message();
    let options = call.options();
    let refusal = Refusal { counts_others: false, refuses_later: true };
    let (status, _) = call.run_inside(&raw const options, |call| refusal.of(0, call));
    assert_eq!(status, CONTRIB_ERROR_NORM);
    assert_eq!(message(), "norm: expected a number >= 1 or infinity, got 0.75");
}

//! Routes through the C API: the reference's, the same bits as through the Rust API, and from many threads at once.

mod common;

use ::contrib_routes::{
    Extent, File, Format, HeadEdges, Labels, MaskedKeys, Node, Options, Routes, Strength, Targets, Totals, difference,
    routes, write,
};
use common::recorded::{Choices, Finder, Found, LAYERS, Model, POSITIONS, Recording, default_options};
use common::{Context, message};
use contrib::routes::arrays::*;
use contrib::routes::difference::{contrib_difference_changes, contrib_difference_free, contrib_difference_new};
use contrib::routes::find::{CONTRIB_ALL_TARGETS, contrib_routes, contrib_routes_to};
use contrib::routes::finder::{contrib_routes_finder_free, contrib_routes_finder_truncate};
use contrib::routes::kinds::*;
use contrib::routes::labels::{contrib_labels, contrib_text};
use contrib::routes::options::*;
use contrib::routes::recording::*;
use contrib::routes::totals::*;
use contrib::routes::write::*;
use contrib::status::*;
use contrib_testing::routes::{Edges, RECORDING, cases, name};
use std::ffi::{CString, c_char, c_void};
use std::{ptr, slice, thread};

/// The committed recording.
fn open() -> Recording {
    let (path, mut recording) = (CString::new(RECORDING).unwrap(), ptr::null_mut());
    // SAFETY: the path is a C string, and the pointer may be written.
    assert_eq!(unsafe { contrib_recording_open(path.as_ptr(), &raw mut recording) }, CONTRIB_OK, "{}", message());
    Recording(recording)
}

fn arrays_of(routes: &Found) -> contrib_routes_arrays {
    // SAFETY: zeros are valid in all fields.
    let mut arrays: contrib_routes_arrays = unsafe { std::mem::zeroed() };
    arrays.struct_size = size_of::<contrib_routes_arrays>();
    // SAFETY: the routes are alive, and the struct says how large it is.
    assert_eq!(unsafe { contrib_routes_get_arrays(routes.0, &raw mut arrays) }, CONTRIB_OK);
    assert_eq!(arrays.struct_size, size_of::<contrib_routes_arrays>());
    arrays
}

/// An array of routes that are alive.
fn array<T>(_alive: &Found, start: *const T, len: usize) -> &[T] {
    // SAFETY: the library says that there are so many, until the routes are freed.
    unsafe { slice::from_raw_parts(start, len) }
}

/// All that is in routes has the same bits as in those of the Rust API.
fn expect_same(found: &Found, expected: &Routes) {
    let arrays = arrays_of(found);
    let (nodes, edges) = (arrays.n_nodes, arrays.n_edges);
    assert_eq!((nodes, edges), (expected.n_nodes(), expected.n_edges()));
    assert_eq!((arrays.n_layers, arrays.n_pos, arrays.n_heads), {
        (expected.n_layers(), expected.n_pos(), expected.n_heads())
    });
    assert_eq!(arrays.threshold, expected.threshold());
    assert_eq!(arrays.flags == CONTRIB_ROUTES_SUM_HEADS, expected.heads() == HeadEdges::Summed);
    assert_eq!(array(found, arrays.targets, arrays.n_targets), expected.target_positions());
    assert_eq!(array(found, arrays.node_layer, nodes), expected.node_layers());
    assert!(
        array(found, arrays.node_kind, nodes).iter().copied().eq(expected.node_kinds().iter().map(|&kind| kind as u8))
    );
    assert_eq!(array(found, arrays.node_position, nodes), expected.node_positions());
    assert_eq!(array(found, arrays.node_flow, nodes), expected.node_flows());
    assert_eq!(array(found, arrays.starts, nodes + 1), expected.starts());
    assert_eq!(array(found, arrays.edge_from, edges), expected.edge_froms());
    assert_eq!(array(found, arrays.edge_to, edges), expected.edge_tos());
    assert!(
        array(found, arrays.edge_kind, edges).iter().copied().eq(expected.edge_kinds().iter().map(|&kind| kind as u8))
    );
    assert_eq!(array(found, arrays.edge_head, edges), expected.edge_heads());
    assert_eq!(array(found, arrays.edge_weight, edges), expected.edge_weights());
    assert_eq!(array(found, arrays.edge_flow, edges), expected.edge_flows());
}

#[test]
fn routes_are_those_of_the_reference() {
    let recording = open();
    let cases = cases();
    assert_eq!(cases.len(), 36);
    for case in &cases {
        let renormalise = case.renormalise.map_or(0, |_| CONTRIB_ROUTES_RENORMALISE);
        let options = contrib_routes_options {
            threshold: case.threshold,
            renormalise: case.renormalise.unwrap_or_default(),
            flags: CONTRIB_ROUTES_SUM_HEADS | CONTRIB_ROUTES_COUNT_MASKED | renormalise,
            ..default_options()
        };
        let found = recording.find(Some(&[case.target]), &options).unwrap();
        let arrays = arrays_of(&found);
        let kinds = array(&found, arrays.node_kind, arrays.n_nodes);
        let layers = array(&found, arrays.node_layer, arrays.n_nodes);
        let positions = array(&found, arrays.node_position, arrays.n_nodes);
        let node = |number: u32| {
            let kind = match kinds[number as usize] {
                CONTRIB_NODE_EMBEDDING => 'X',
                CONTRIB_NODE_RESID_MID => 'A',
                CONTRIB_NODE_MLP => 'M',
                CONTRIB_NODE_RESID_POST => 'I',
                other => panic!("a node of kind {other}"),
            };
            name(kind, layers[number as usize] as usize, positions[number as usize] as usize)
        };
        let from = array(&found, arrays.edge_from, arrays.n_edges);
        let to = array(&found, arrays.edge_to, arrays.n_edges);
        let weights = array(&found, arrays.edge_weight, arrays.n_edges);
        let edges: Edges =
            from.iter().zip(to).zip(weights).map(|((&from, &to), &weight)| ((node(from), node(to)), weight)).collect();
        case.check(&edges);
    }
}

/// Each choice by its flag in C and in Rust.
fn many_options() -> Vec<(contrib_routes_options, Options<'static>)> {
    let (c, rust) = (default_options(), Options::default());
    vec![
        (c, rust),
        (
            contrib_routes_options { threshold: 0.1, norm: 2.0, ..c },
            Options { threshold: 0.1, norm: contrib_core::Norm::new(2.0).unwrap(), ..rust },
        ),
        (
            contrib_routes_options { renormalise: 0.02, flags: CONTRIB_ROUTES_RENORMALISE, ..c },
            Options { renormalise: Some(0.02), ..rust },
        ),
        (contrib_routes_options { flags: CONTRIB_ROUTES_RENORMALISE, ..c }, Options { renormalise: Some(0.0), ..rust }),
        (
            contrib_routes_options { flags: CONTRIB_ROUTES_SUM_HEADS, block: 2, ..c },
            Options { heads: HeadEdges::Summed, block: Some(2), ..rust },
        ),
        (
            contrib_routes_options { flags: CONTRIB_ROUTES_COUNT_MASKED | CONTRIB_ROUTES_ALL_POSITIONS, ..c },
            Options { masked_keys: MaskedKeys::Counted, extent: Extent::All, ..rust },
        ),
    ]
}

#[test]
fn routes_in_layers_that_are_handed_in_are_those_of_the_same_tensors_in_rust() {
    for (seed, choices) in (1..).zip(Choices::all()) {
        let model = Model::new(choices, seed);
        let recording = model.recording();
        // SAFETY: the recording is alive.
        let extents = unsafe {
            (
                contrib_recording_n_layers(recording.0),
                contrib_recording_n_pos(recording.0),
                contrib_recording_n_heads(recording.0),
            )
        };
        assert_eq!(extents, (LAYERS, POSITIONS, common::recorded::HEADS));
        assert_eq!(model.asked.get(), 0, "nothing is asked for before it is needed");
        for (of_c, of_rust) in many_options() {
            for targets in [Some(&[POSITIONS - 1][..]), Some(&[4, 1, 4]), Some(&[]), None] {
                model.asked.set(0);
                let found = recording.find(targets, &of_c).unwrap_or_else(|_| panic!("{}", message()));
                assert_eq!(model.asked.get(), LAYERS, "each layer once");
                let targets = targets.map_or(Targets::All, Targets::At);
                expect_same(&found, &routes(&mut model.memory(), targets, &of_rust).unwrap());
            }
        }
    }
}

#[test]
fn a_finder_asks_for_what_it_does_not_have_and_finds_the_same() {
    for (seed, choices) in (1..).zip(Choices::all()) {
        let model = Model::new(choices, seed);
        let (recording, finder) = (model.recording(), Finder::new());
        for (of_c, of_rust) in many_options() {
            finder.truncate(0);
            for targets in [Some(&[4, 1][..]), Some(&[5]), Some(&[4, 1]), Some(&[5]), None, Some(&[2]), None] {
                let found = finder.find(&recording, targets, &of_c).unwrap_or_else(|_| panic!("{}", message()));
                let targets = targets.map_or(Targets::All, Targets::At);
                expect_same(&found, &routes(&mut model.memory(), targets, &of_rust).unwrap());
            }
            // All is kept, where later keys do not count.
            model.asked.set(0);
            finder.find(&recording, None, &of_c).unwrap();
            let is_kept = of_rust.masked_keys == MaskedKeys::LeftOut;
            assert_eq!(model.asked.get(), if is_kept { 0 } else { LAYERS });
            finder.truncate(4);
            finder.find(&recording, None, &of_c).unwrap();
            assert!(!is_kept || model.asked_at.borrow().iter().all(|&position| position >= 4));
            model.asked.set(0);
            finder.find(&recording, None, &contrib_routes_options { threshold: 0.2, ..of_c }).unwrap();
            assert_eq!(model.asked.get(), LAYERS, "edges above another threshold are other edges");
        }
        // SAFETY: null is allowed.
        unsafe {
            contrib_routes_finder_truncate(ptr::null_mut(), 0);
            contrib_routes_finder_free(ptr::null_mut());
        }
    }
}

#[test]
fn what_is_prepared_of_layers_changes_no_bit() {
    for (seed, choices) in (1..).zip(Choices::all()).filter(|(_, choices)| !choices.has_product) {
        let mut model = Model::new(choices, seed);
        model.prepare();
        let found = model.recording().find(None, &default_options()).unwrap_or_else(|_| panic!("{}", message()));
        expect_same(&found, &routes(&mut model.memory(), Targets::All, &Options::default()).unwrap());
    }
}

#[test]
fn routes_to_a_target_are_taken_out_of_routes_to_many() {
    let recording = open();
    let all = recording.find(None, &default_options()).unwrap();
    let mut file = File::open(RECORDING).unwrap();
    let expected = routes(&mut file, Targets::All, &Options::default()).unwrap();
    for (targets, threshold) in [(Some(&[11_usize][..]), 0.04), (Some(&[3, 7]), 0.1), (None, 0.3)] {
        let (start, len) = targets.map_or((ptr::null(), CONTRIB_ALL_TARGETS), |list| (list.as_ptr(), list.len()));
        let mut taken: *mut contrib_routes = ptr::null_mut();
        // SAFETY: the routes are alive, and the rest says what is there.
        let status = unsafe { contrib_routes_to(all.0, start, len, threshold, &raw mut taken) };
        assert_eq!(status, CONTRIB_OK, "{}", message());
        let targets = targets.map_or(Targets::All, Targets::At);
        expect_same(&Found(taken), &expected.routes_to(targets, threshold).unwrap());
    }
}

/// The totals of routes, and what is freed with them.
struct Summed(*mut contrib_totals);

impl Summed {
    fn new(found: &Found) -> Self {
        let mut totals = ptr::null_mut();
        // SAFETY: the routes are alive, and the pointer may be written.
        assert_eq!(unsafe { contrib_totals_new(found.0, &raw mut totals) }, CONTRIB_OK);
        Summed(totals)
    }

    fn expect_same(&self, expected: &Totals) {
        // SAFETY: zeros are valid in all fields.
        let mut arrays: contrib_totals_arrays = unsafe { std::mem::zeroed() };
        arrays.struct_size = size_of::<contrib_totals_arrays>();
        // SAFETY: the totals are alive, and the struct says how large it is.
        assert_eq!(unsafe { contrib_totals_get_arrays(self.0, &raw mut arrays) }, CONTRIB_OK);
        // SAFETY: the library says that there are so many, until the totals change.
        let array = |start: *const f64, len: usize| unsafe { slice::from_raw_parts(start, len) };
        let n_layers = arrays.n_layers;
        match expected.heads() {
            Some(heads) => assert_eq!(array(arrays.heads, n_layers * arrays.n_heads), heads),
            None => assert!(arrays.heads.is_null()),
        }
        assert_eq!(array(arrays.attention, n_layers), expected.attention());
        assert_eq!(array(arrays.mlps, n_layers), expected.mlps());
        assert_eq!(array(arrays.biases, n_layers), expected.biases());
        assert_eq!(array(arrays.residual, n_layers), expected.residual());
        assert_eq!(array(arrays.tokens, arrays.n_pos), expected.tokens());
        assert_eq!((arrays.lost, arrays.n_targets), (expected.lost(), expected.targets()));
    }
}

impl Drop for Summed {
    fn drop(&mut self) {
        // SAFETY: they are freed once.
        unsafe { contrib_totals_free(self.0) };
    }
}

#[test]
fn totals_add_up_over_results() {
    let model = Model::new(Choices { has_biases: true, ..Choices::default() }, 3);
    let recording = model.recording();
    for (of_c, of_rust) in many_options() {
        let of = |target| {
            let found = recording.find(Some(&[target]), &of_c).unwrap();
            let expected = routes(&mut model.memory(), Targets::At(&[target]), &of_rust).unwrap();
            (Summed::new(&found), Totals::new(&expected).unwrap())
        };
        let ((sum, mut expected), (other, of_other)) = (of(5), of(2));
        sum.expect_same(&expected);
        // SAFETY: both are alive, and not the same.
        assert_eq!(unsafe { contrib_totals_add(sum.0, other.0) }, CONTRIB_OK);
        expected.add(&of_other).unwrap();
        sum.expect_same(&expected);
        // SAFETY: they are alive.
        assert_eq!(unsafe { contrib_totals_add(sum.0, sum.0) }, CONTRIB_ERROR_OVERLAP);
        sum.expect_same(&expected);
    }
    let summed = contrib_routes_options { flags: CONTRIB_ROUTES_SUM_HEADS, ..default_options() };
    let (one, other) = (recording.find(None, &summed).unwrap(), recording.find(None, &default_options()).unwrap());
    let (one, other) = (Summed::new(&one), Summed::new(&other));
    // SAFETY: both are alive, and not the same.
    assert_eq!(unsafe { contrib_totals_add(one.0, other.0) }, CONTRIB_ERROR_UNLIKE);
    assert_eq!(message(), "expected results with the same heads");
}

#[test]
fn a_difference_has_the_edges_that_changed() {
    let model = Model::new(Choices::default(), 4);
    let recording = model.recording();
    let of = |target: usize| {
        let found = recording.find(Some(&[target]), &default_options()).unwrap();
        (found, routes(&mut model.memory(), Targets::At(&[target]), &Options::default()).unwrap())
    };
    let ((before, of_before), (after, of_after)) = (of(5), of(4));
    for tolerance in [0.0, 0.2] {
        let expected = difference(&of_before, &of_after, tolerance).unwrap();
        let (mut found, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the routes are alive, and the pointer may be written.
        let status = unsafe { contrib_difference_new(before.0, after.0, tolerance, &raw mut found) };
        assert_eq!(status, CONTRIB_OK, "{}", message());
        // SAFETY: the difference is alive.
        let changes = unsafe { slice::from_raw_parts(contrib_difference_changes(found, &raw mut len), len) };
        assert!(changes.len() == expected.len() && !changes.is_empty());
        for (change, expected) in changes.iter().zip(&expected) {
            let node = |node: Node| (node.layer as u32, node.kind as u8, node.position as u32);
            assert_eq!((change.from_layer, change.from_kind, change.from_position), node(expected.from));
            assert_eq!((change.to_layer, change.to_kind, change.to_position), node(expected.to));
            assert_eq!(change.kind, expected.kind as u8);
            assert_eq!(change.head, expected.head.map_or(CONTRIB_NO_HEAD, |head| head as u32));
            let expect = |weight: f64, flow: f64, expected: Option<Strength>| match expected {
                Some(expected) => assert_eq!((weight, flow), (expected.weight, expected.flow)),
                None => assert!(weight.is_nan() && flow.is_nan()),
            };
            expect(change.before_weight, change.before_flow, expected.before);
            expect(change.after_weight, change.after_flow, expected.after);
        }
        // SAFETY: it is freed once.
        unsafe { contrib_difference_free(found) };
    }
}

/// Appends what is written to the `Vec<u8>` that `user_data` points to.
unsafe extern "C" fn append(user_data: *mut c_void, bytes: *const c_char, len: usize) -> i32 {
    // SAFETY: it points to a vector, and there are so many bytes.
    unsafe { (*user_data.cast::<Vec<u8>>()).extend_from_slice(slice::from_raw_parts(bytes.cast(), len)) };
    0
}

const FORMATS: [(i32, Format); 5] = [
    (CONTRIB_FORMAT_JSON, Format::Json),
    (CONTRIB_FORMAT_CSV, Format::Csv),
    (CONTRIB_FORMAT_DOT, Format::Dot),
    (CONTRIB_FORMAT_SVG, Format::Svg),
    (CONTRIB_FORMAT_HTML, Format::Html),
];

#[test]
fn what_is_written_is_what_rust_writes() {
    let (recording, mut file) = (open(), File::open(RECORDING).unwrap());
    let found = recording.find(Some(&[11]), &default_options()).unwrap();
    let expected = routes(&mut file, Targets::At(&[11]), &Options::default()).unwrap();
    // Any bytes can be a token.
    let tokens: [&[u8]; 4] = [b"The", b"</script>\0\x01", b"\xF0\x9F\x98", "\u{202E}\u{1F600}".as_bytes()];
    let mut labels = Labels::default();
    labels.set_model("a model").unwrap();
    for token in tokens {
        labels.push_token(token).unwrap();
    }
    labels.push_next_token(" Rome", 0.5).unwrap();
    let text = |bytes: &[u8]| contrib_text { bytes: bytes.as_ptr().cast(), len: bytes.len() };
    let (of_tokens, next, probability) = (tokens.map(text), text(b" Rome"), 0.5);
    let of_c = contrib_labels {
        struct_size: size_of::<contrib_labels>(),
        model: text(b"a model"),
        prompt: contrib_text { bytes: ptr::null(), len: 0 },
        tokens: of_tokens.as_ptr(),
        n_tokens: of_tokens.len(),
        next_tokens: &raw const next,
        next_probabilities: &raw const probability,
        n_next_tokens: 1,
    };
    for (number, format) in FORMATS {
        let of_rust = |labels: &Labels| {
            let mut text = Vec::new();
            write(&expected, labels, format, &mut text).unwrap();
            text
        };
        let written = |labels: Option<*const contrib_labels>| {
            let mut text: Vec<u8> = Vec::new();
            let to = (&raw mut text).cast();
            // SAFETY: routes, recording and labels are alive, and `append` takes any bytes.
            let status = unsafe {
                match labels {
                    Some(labels) => contrib_routes_write(found.0, labels, number, Some(append), to),
                    None => contrib_routes_write_recorded(found.0, recording.0, number, Some(append), to),
                }
            };
            assert_eq!(status, CONTRIB_OK, "{format:?}: {}", message());
            text
        };
        assert!(written(Some(&raw const of_c)) == of_rust(&labels), "{format:?}");
        assert!(written(Some(ptr::null())) == of_rust(&Labels::default()), "{format:?}");
        assert!(written(None) == of_rust(&file.labels().unwrap()), "{format:?}");
    }
}

#[test]
fn a_recording_has_the_texts_of_its_file() {
    let recording = open();
    let of = |text: *const c_char, len: usize| {
        // SAFETY: the library says that there are so many bytes.
        (!text.is_null())
            .then(|| String::from_utf8(unsafe { slice::from_raw_parts(text.cast(), len) }.to_vec()).unwrap())
    };
    let (mut len, mut probability) = (7, 7.0);
    // SAFETY: the recording is alive or NULL, and the pointers may be written.
    unsafe {
        assert_eq!(of(contrib_recording_token(recording.0, 3, &raw mut len), len).unwrap(), " France");
        assert_eq!(of(contrib_recording_token(recording.0, 12, &raw mut len), len), None);
        assert_eq!(len, 0);
        assert!(of(contrib_recording_model(recording.0, &raw mut len), len).unwrap().starts_with("SmolLM2-135M"));
        assert!(of(contrib_recording_prompt(recording.0, &raw mut len), len).unwrap().ends_with("of Italy is"));
        let next = contrib_recording_next_token(recording.0, 0, &raw mut len, &raw mut probability);
        assert_eq!((of(next, len).unwrap(), probability), (" Rome".to_owned(), 0.6532));
        let next = contrib_recording_next_token(recording.0, 5, &raw mut len, &raw mut probability);
        assert_eq!((of(next, len), probability), (None, 0.0));
        assert!(contrib_recording_token(ptr::null(), 0, ptr::null_mut()).is_null());
        assert!(!contrib_recording_token(recording.0, 0, ptr::null_mut()).is_null());
        assert_eq!(contrib_recording_n_layers(ptr::null()), 0);
        assert_eq!((contrib_recording_n_layers(recording.0), contrib_recording_n_pos(recording.0)), (30, 12));
    }
}

#[test]
fn threads_have_recordings_of_their_own_or_share_one() {
    let models = [1, 2].map(|seed| Model::new(Choices::default(), seed));
    let expected =
        models.each_ref().map(|model| routes(&mut model.memory(), Targets::All, &Options::default()).unwrap());
    let recordings = models.each_ref().map(Model::recording);
    let file = open();
    let of_file = routes(&mut File::open(RECORDING).unwrap(), Targets::At(&[11]), &Options::default()).unwrap();
    let shared = file.find(Some(&[11]), &default_options()).unwrap();
    let context = Context::new(2);
    thread::scope(|scope| {
        for (recording, expected) in recordings.iter().zip(&expected) {
            let (file, of_file, shared, context) = (&file, &of_file, &shared, &context);
            scope.spawn(move || {
                let options = contrib_routes_options { context: context.get(), ..default_options() };
                for _ in 0..20 {
                    expect_same(&recording.find(None, &options).unwrap(), expected);
                    expect_same(shared, of_file);
                    Summed::new(shared).expect_same(&Totals::new(of_file).unwrap());
                }
                for _ in 0..3 {
                    expect_same(&file.find(Some(&[11]), &options).unwrap(), of_file);
                }
            });
        }
    });
}

/// What a callback heard, and after how many calls it stops.
struct Heard {
    progress: Vec<contrib_progress>,
    stop_after: usize,
}

unsafe extern "C" fn hear(user_data: *mut c_void, progress: *const contrib_progress) -> i32 {
    // SAFETY: it points to what was heard, and the progress is there.
    let (heard, progress) = unsafe { (&mut *user_data.cast::<Heard>(), progress.read()) };
    heard.progress.push(progress);
    i32::from(heard.progress.len() == heard.stop_after)
}

#[test]
fn a_callback_hears_of_the_progress_and_can_stop_it() {
    let model = Model::new(Choices::default(), 6);
    let recording = model.recording();
    let find = |stop_after: usize| {
        let mut heard = Heard { progress: Vec::new(), stop_after };
        let options = contrib_routes_options {
            flags: CONTRIB_ROUTES_ALL_POSITIONS,
            block: 4,
            progress: Some(hear),
            user_data: (&raw mut heard).cast(),
            ..default_options()
        };
        let found = recording.find(None, &options);
        (found.map(drop), heard.progress)
    };
    let (found, heard) = find(usize::MAX);
    assert!(found.is_ok());
    // Three layers of two stages, each with six positions in two blocks.
    assert_eq!(heard.len(), 12);
    let all = heard.iter().map(|progress| (progress.layer, progress.stage, progress.done));
    let (post, mid) = (u64::from(CONTRIB_NODE_RESID_POST), u64::from(CONTRIB_NODE_RESID_MID));
    assert!(all.take(4).eq([(2, post, 4), (2, post, 6), (2, mid, 4), (2, mid, 6)]));
    assert!(heard.iter().all(|progress| (progress.n_layers, progress.positions) == (LAYERS, POSITIONS)));
    for stop_after in 1..=12 {
        let (found, heard) = find(stop_after);
        assert_eq!((found, heard.len()), (Err(CONTRIB_ERROR_STOPPED), stop_after));
        assert_eq!(message(), "stopped by the callback");
    }
}

#[test]
fn a_stack_of_128_kib_is_enough() {
    let models: Vec<Model> = (1..).zip(Choices::all()).map(|(seed, choices)| Model::new(choices, seed)).collect();
    let recordings: Vec<Recording> = models.iter().map(Model::recording).collect();
    let run = || {
        let file = open();
        for (of_c, _) in many_options() {
            for recording in recordings.iter().chain([&file]) {
                let found = recording.find(None, &of_c).expect("the recording is right");
                drop(Summed::new(&found));
                for (format, _) in FORMATS {
                    let mut text: Vec<u8> = Vec::new();
                    let to = (&raw mut text).cast();
                    // SAFETY: routes and recording are alive, and `append` takes any bytes.
                    let status =
                        unsafe { contrib_routes_write_recorded(found.0, recording.0, format, Some(append), to) };
                    assert_eq!(status, CONTRIB_OK);
                }
            }
        }
    };
    thread::scope(|scope| {
        let small = thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, run);
        small.expect("a thread can be started").join().expect("nothing goes wrong");
    });
}

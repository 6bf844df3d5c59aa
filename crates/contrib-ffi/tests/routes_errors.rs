//! What can be wrong with recordings, routes and their arguments: each has its status and a sentence, and outputs stay as they
//! are.

mod common;

use common::message;
use common::recorded::{Change, Choices, Found, Handed, LAYERS, Model, NO_LAYER, Recording, default_options};
use contrib::routes::arrays::{contrib_routes_arrays, contrib_routes_get_arrays};
use contrib::routes::difference::{contrib_difference_changes, contrib_difference_free, contrib_difference_new};
use contrib::routes::find::{CONTRIB_ALL_TARGETS, contrib_routes_find, contrib_routes_free, contrib_routes_to};
use contrib::routes::labels::{contrib_labels, contrib_text};
use contrib::routes::layer::contrib_hand_in_layer;
use contrib::routes::options::*;
use contrib::routes::recording::*;
use contrib::routes::source::contrib_recording_source;
use contrib::routes::totals::*;
use contrib::routes::write::*;
use contrib::status::*;
use contrib::tensor::CONTRIB_DTYPE_INT;
use contrib_testing::routes::RECORDING;
use std::ffi::{CString, c_char, c_void};
use std::path::PathBuf;
use std::{fs, ptr};

/// What a call returned and said.
#[track_caller]
fn expect(got: contrib_status, expected: contrib_status, sentence: &str) {
    assert_eq!((got, &message()[..]), (expected, sentence));
}

/// An output of a call that fails, and that must stay as it is.
fn untouched<T>() -> *mut T {
    ptr::without_provenance_mut(16)
}

#[test]
fn each_failure_of_a_layer_that_is_handed_in_names_the_tensor() {
    let plain = Choices::default();
    let given = Choices { by_pattern: true, has_product: true, ..plain };
    let extras = Choices { has_biases: true, has_scale: true, has_extras: true, ..plain };
    let cases: [(Choices, Change, contrib_status, &str); 22] = [
        (plain, |handed| handed.layer.struct_size = 8, CONTRIB_ERROR_STRUCT_SIZE, {
            "layer.1: expected a struct_size from 104 to 4096, the same for all, got 8"
        }),
        (plain, |handed| handed.layer.resid_pre = ptr::null(), CONTRIB_ERROR_NULL_POINTER, {
            "resid_pre.1: expected a pointer, got NULL"
        }),
        (plain, |handed| handed.layer.mlp_out = ptr::null(), CONTRIB_ERROR_NULL_POINTER, {
            "mlp_out.1: expected a pointer, got NULL"
        }),
        (plain, |handed| handed.layer.queries_and_keys = ptr::null(), CONTRIB_ERROR_NULL_POINTER, {
            "pattern.1: expected a pointer, as there must be without queries_and_keys, got NULL"
        }),
        (plain, |handed| handed.layer.w_o = ptr::null(), CONTRIB_ERROR_NULL_POINTER, {
            "w_o.1: expected a pointer, as there must be without value_output, got NULL"
        }),
        (plain, |handed| handed.layer.pattern = &raw const handed.tensors[3], CONTRIB_ERROR_CONFLICT, {
            "pattern.1: expected none where there is queries_and_keys.1, got both"
        }),
        (given, |handed| handed.layer.w_o = &raw const handed.tensors[9], CONTRIB_ERROR_CONFLICT, {
            "w_o.1: expected none where there is value_output.1, got both"
        }),
        (plain, |handed| handed.queries_and_keys.struct_size = 1 << 20, CONTRIB_ERROR_STRUCT_SIZE, {
            "queries_and_keys.1: expected a struct_size from 104 to 4096, the same for all, got 1048576"
        }),
        (plain, |handed| handed.queries_and_keys.flags = 2, CONTRIB_ERROR_FLAGS, {
            "queries_and_keys.flags.1: expected none but the flags 0x1 that this version knows, got 0x2"
        }),
        (plain, |handed| handed.queries_and_keys.keys = ptr::null(), CONTRIB_ERROR_NULL_POINTER, {
            "keys.1: expected a pointer, got NULL"
        }),
        (plain, |handed| handed.queries_and_keys.first_query = 3, CONTRIB_ERROR_NUMBER, {
            "first_query.1: expected 0 or -1, as a layer has all queries, got 3"
        }),
        (plain, |handed| handed.queries_and_keys.mask = &raw const handed.tensors[3], CONTRIB_ERROR_CONFLICT, {
            "mask.1: expected none where there is layer.1, got both"
        }),
        (extras, |handed| handed.queries_and_keys.soft_cap = -1.0, CONTRIB_ERROR_NUMBER, {
            "soft_cap.1: expected a finite number greater than 0, got -1"
        }),
        (plain, |handed| handed.queries_and_keys.score_scale = f64::INFINITY, CONTRIB_ERROR_NUMBER, {
            "scale.1: expected a finite number, got inf"
        }),
        (plain, |handed| handed.tensors[1].dtype.code = CONTRIB_DTYPE_INT, CONTRIB_ERROR_DTYPE, {
            "resid_mid.1: expected float32, float64, float16 or bfloat16 with one lane, got code 0, 32 bits, 1 lanes"
        }),
        (plain, |handed| handed.tensors[2].device_type = 2, CONTRIB_ERROR_DEVICE, {
            "resid_post.1: expected memory that the host can read (device_type 1, 3, 11 or 13), got 2"
        }),
        (plain, |handed| handed.tensors[8].ndim = 17, CONTRIB_ERROR_NDIM, "values.1: expected 0 to 16 axes, got 17"),
        (plain, |handed| handed.tensors[9].data = ptr::null_mut(), CONTRIB_ERROR_NULL_POINTER, {
            "w_o.1: expected data, got a null pointer"
        }),
        (plain, |handed| handed.tensors[1].ndim = 1, CONTRIB_ERROR_SHAPE, {
            "resid_mid.1: expected [6, 8] to match resid_pre, got [6]"
        }),
        (plain, |handed| handed.tensors[5].shape = handed.tensors[4].shape, CONTRIB_ERROR_SHAPE, {
            "values.1: expected [6, 4, *] to match the positions and keys, got [6, 2, 3]"
        }),
        (extras, |handed| handed.tensors[11].shape = handed.tensors[8].shape, CONTRIB_ERROR_SHAPE, {
            "attn_scale.1: expected [6, 8] to match resid_pre, got [6, 2]"
        }),
        (
            plain,
            |handed| {
                static ODD: [i64; 3] = [6, 3, 3];
                handed.tensors[5].shape = ODD.as_ptr().cast_mut();
                handed.tensors[5].data = handed.tensors[4].data;
            },
            CONTRIB_ERROR_HEADS,
            "keys.1: expected a number of key-value heads that divides 4 heads, got 3",
        ),
    ];
    for (choices, change, status, sentence) in cases {
        let mut model = Model::new(choices, 1);
        model.change = Some((1, change));
        expect(model.recording().find(None, &default_options()).map(drop).unwrap_err(), status, sentence);
        assert_eq!(model.asked.get(), 2, "nothing is asked for after a failure");
    }
    // The same of the first layer that comes, of which positions and heads are known before.
    let mut model = Model::new(plain, 1);
    model.change = Some((LAYERS - 1, |handed: &mut Handed| handed.tensors[0].ndim = 1));
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    expect(
        status,
        CONTRIB_ERROR_SHAPE,
        "resid_pre.2: expected [6, *] to match the positions of the recording, got [6]",
    );
}

#[test]
fn what_was_prepared_of_another_tensor_is_refused() {
    let choices = Choices::default();
    let mut model = Model::new(choices, 1);
    model.prepare();
    model.prepared.swap(0, 1);
    expect(
        model.recording().find(None, &default_options()).map(drop).unwrap_err(),
        CONTRIB_ERROR_PREPARED,
        "prepared.1: expected what was prepared of w_o.1, got what was prepared of a tensor elsewhere, or of another type, \
         shape or strides",
    );
    let mut model = Model::new(Choices { has_product: true, ..choices }, 1);
    model.prepare();
    // It expects that layers are refused only where one is changed.
    model.change = Some((2, |_: &mut Handed| ()));
    let sentence = "prepared.2: expected none where there is value_output.2, got both";
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    expect(status, CONTRIB_ERROR_CONFLICT, sentence);
    // A caller that was compiled before there was the field.
    let mut model = Model::new(choices, 1);
    model.prepare();
    model.prepared.swap(0, 1);
    model.change = Some((1, |handed: &mut Handed| handed.layer.struct_size = 104));
    assert!(model.recording().find(None, &default_options()).is_err(), "the other layers have it");
    model.prepared.swap(0, 1);
    assert!(model.recording().find(None, &default_options()).is_ok());
}

#[test]
fn numbers_that_are_not_finite_have_a_status_of_their_own() {
    static NAN: [f32; 48] = [f32::NAN; 48];
    static HUGE: [f64; 48] = [1e308; 48];
    let mut model = Model::new(Choices::default(), 1);
    model.change = Some((1, |handed: &mut Handed| handed.tensors[13].data = NAN.as_ptr().cast_mut().cast()));
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    expect(status, CONTRIB_ERROR_NOT_FINITE, "mlp_out.1: not a finite number at [0, 0]");
    // The norm of eight of them is infinite.
    model.change = Some((1, |handed: &mut Handed| {
        handed.tensors[2].data = HUGE.as_ptr().cast_mut().cast();
        handed.tensors[2].dtype.bits = 64;
    }));
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    let sentence = "contributions at layer 1, position 0 are too large to be calculated";
    expect(status, CONTRIB_ERROR_NOT_A_NUMBER, sentence);
}

#[test]
fn what_a_callback_returns_is_told() {
    for handed_in_before in [false, true] {
        let mut model = Model::new(Choices::default(), 1);
        model.returns = Some((1, -7, handed_in_before));
        let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
        expect(status, CONTRIB_ERROR_CALLBACK, "layer.1: expected 0 from the callback, got -7");
        // The recording can be used again.
        model.returns = None;
        model.recording().find(None, &default_options()).map(drop).unwrap();
    }
    let mut model = Model::new(Choices::default(), 1);
    model.returns = Some((0, 0, false));
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    expect(status, CONTRIB_ERROR_MISSING, "layer.0: expected a call of contrib_hand_in_layer, got none");
    // A layer that was refused, with whatever the callback returned.
    model.returns = Some((0, 5, true));
    model.change = Some((0, |handed: &mut Handed| handed.layer = NO_LAYER));
    let status = model.recording().find(None, &default_options()).map(drop).unwrap_err();
    let sentence = "pattern.0: expected a pointer, as there must be without queries_and_keys, got NULL";
    expect(status, CONTRIB_ERROR_NULL_POINTER, sentence);
    // SAFETY: NULL is allowed, and refused.
    let status = unsafe { contrib_hand_in_layer(ptr::null_mut(), &NO_LAYER) };
    expect(status, CONTRIB_ERROR_NULL_POINTER, "receiver: expected a pointer, got NULL");
}

#[test]
fn sources_that_cannot_be_are_refused() {
    let model = Model::new(Choices::default(), 1);
    let text = contrib_text { bytes: ptr::null(), len: 3 };
    let labels = contrib_labels { tokens: &raw const text, n_tokens: 1, ..no_labels() };
    let source = model.source();
    let cases = [
        (contrib_recording_source { struct_size: 16, ..source }, CONTRIB_ERROR_STRUCT_SIZE, {
            "source: expected a struct_size from 56 to 4096, the same for all, got 16"
        }),
        (contrib_recording_source { layer: None, ..source }, CONTRIB_ERROR_NULL_POINTER, {
            "source.layer: expected a pointer, got NULL"
        }),
        (contrib_recording_source { n_layers: 0, ..source }, CONTRIB_ERROR_NUMBER, {
            "source.n_layers: expected 1 or more, got 0"
        }),
        (contrib_recording_source { labels: &raw const labels, ..source }, CONTRIB_ERROR_NULL_POINTER, {
            "labels.tokens[0].bytes: expected a pointer, got NULL"
        }),
    ];
    for (source, status, sentence) in cases {
        let mut recording = untouched();
        // SAFETY: the source says what is there, and the pointer may be written.
        expect(unsafe { contrib_recording_new(&raw const source, &raw mut recording) }, status, sentence);
        assert_eq!(recording, untouched());
    }
    let mut recording = untouched();
    // SAFETY: NULL is allowed, and refused.
    let status = unsafe { contrib_recording_new(ptr::null(), &raw mut recording) };
    expect(status, CONTRIB_ERROR_NULL_POINTER, "source: expected a pointer, got NULL");
    assert_eq!(recording, untouched());
    // SAFETY: NULL is allowed, and refused.
    let status = unsafe { contrib_recording_new(&raw const source, ptr::null_mut()) };
    expect(status, CONTRIB_ERROR_NULL_POINTER, "out: expected a pointer, got NULL");
    // More layers, positions or heads than can be numbered.
    for (name, change) in [
        ("layers", (|source| source.n_layers = usize::MAX) as fn(&mut contrib_recording_source)),
        ("positions", |source| source.n_pos = 1 << 32),
        ("heads", |source| source.n_heads = usize::MAX),
    ] {
        let (mut source, mut recording) = (source, ptr::null_mut());
        change(&mut source);
        // SAFETY: the source says what is there, and the pointer may be written.
        assert_eq!(unsafe { contrib_recording_new(&raw const source, &raw mut recording) }, CONTRIB_OK);
        let status = Recording(recording).find(None, &default_options()).map(drop).unwrap_err();
        assert_eq!(status, CONTRIB_ERROR_TOO_LARGE);
        assert!(message().starts_with(&format!("more {name} than can be numbered")), "{}", message());
        assert_eq!(model.asked.get(), 0);
    }
}

/// Options of a later version.
#[repr(C)]
struct Later(contrib_routes_options, u64);

#[test]
fn options_and_targets_that_cannot_be_are_refused_before_a_layer_is_asked_for() {
    let model = Model::new(Choices::default(), 1);
    let recording = model.recording();
    let plain = default_options();
    let number = "expected a finite number, 0 or more, got";
    let cases = [
        (contrib_routes_options { struct_size: 71, ..plain }, CONTRIB_ERROR_STRUCT_SIZE, {
            "options: expected a struct_size from 72 to 4096, the same for all, got 71".to_owned()
        }),
        (contrib_routes_options { threshold: -0.5, ..plain }, CONTRIB_ERROR_THRESHOLD, {
            format!("threshold: {number} -0.5")
        }),
        (contrib_routes_options { threshold: f64::NAN, ..plain }, CONTRIB_ERROR_THRESHOLD, {
            format!("threshold: {number} NaN")
        }),
        (
            contrib_routes_options { renormalise: -1.0, flags: CONTRIB_ROUTES_RENORMALISE, ..plain },
            CONTRIB_ERROR_THRESHOLD,
            format!("renormalise: {number} -1"),
        ),
        (contrib_routes_options { renormalise: 0.1, ..plain }, CONTRIB_ERROR_NUMBER, {
            "renormalise: expected 0 without CONTRIB_ROUTES_RENORMALISE, got 0.1".to_owned()
        }),
        (contrib_routes_options { flags: 1 << 40, ..plain }, CONTRIB_ERROR_FLAGS, {
            "options.flags: expected none but the flags 0xf that this version knows, got 0x10000000000".to_owned()
        }),
        (contrib_routes_options { norm: 0.5, ..plain }, CONTRIB_ERROR_NORM, {
            "norm: expected a number >= 1 or infinity, got 0.5".to_owned()
        }),
    ];
    for (options, status, sentence) in cases {
        expect(recording.find(None, &options).map(drop).unwrap_err(), status, &sentence);
    }
    let status = recording.find(Some(&[0, 6]), &plain).map(drop).unwrap_err();
    expect(status, CONTRIB_ERROR_TARGET, "targets: expected positions below 6, got 6");
    let mut routes = untouched();
    let find = |recording: *const contrib_recording, n_targets, out| {
        // SAFETY: NULL is allowed, and refused.
        unsafe { contrib_routes_find(recording, ptr::null(), n_targets, ptr::null(), out) }
    };
    expect(find(recording.0, 2, &raw mut routes), CONTRIB_ERROR_NULL_POINTER, "targets: expected a pointer, got NULL");
    let all = CONTRIB_ALL_TARGETS;
    expect(find(ptr::null(), all, &raw mut routes), CONTRIB_ERROR_NULL_POINTER, {
        "recording: expected a pointer, got NULL"
    });
    expect(find(recording.0, all, ptr::null_mut()), CONTRIB_ERROR_NULL_POINTER, "out: expected a pointer, got NULL");
    assert_eq!((routes, model.asked.get()), (untouched(), 0));
    // Options of a later version, whose further fields are zeros or not.
    let mut later = Later(contrib_routes_options { struct_size: size_of::<Later>(), ..plain }, 0);
    assert!(recording.find(None, &later.0).is_ok(), "{}", message());
    later.1 = 1;
    // SAFETY: the struct is as large as it says.
    let options = unsafe { &*(&raw const later).cast::<contrib_routes_options>() };
    let status = recording.find(None, options).map(drop).unwrap_err();
    expect(status, CONTRIB_ERROR_UNKNOWN_FIELD, "options: expected zeros after the 72 bytes that this version knows");
}

/// The routes to all positions of a small model.
fn found() -> Found {
    let model = Model::new(Choices::default(), 1);
    model.recording().find(Some(&[2, 5]), &default_options()).unwrap()
}

#[test]
fn arguments_of_functions_that_read_routes_are_checked() {
    let found = found();
    let null = |name: &str| format!("{name}: expected a pointer, got NULL");
    let mut taken = untouched();
    let to = |routes, targets: &[usize], threshold, out| {
        // SAFETY: the targets are there; NULL is allowed, and refused.
        unsafe { contrib_routes_to(routes, targets.as_ptr(), targets.len(), threshold, out) }
    };
    let pointer = CONTRIB_ERROR_NULL_POINTER;
    expect(to(ptr::null(), &[5], 0.1, &raw mut taken), pointer, &null("routes"));
    expect(to(found.0, &[5], 0.1, ptr::null_mut()), pointer, &null("out"));
    expect(to(found.0, &[3], 0.1, &raw mut taken), CONTRIB_ERROR_TARGET, "targets: expected positions below 6, got 3");
    expect(to(found.0, &[5], f64::NAN, &raw mut taken), CONTRIB_ERROR_THRESHOLD, {
        "threshold: expected a number, got NaN"
    });
    assert_eq!(taken, untouched());

    // SAFETY: NULL is allowed, and refused or freed; objects are alive until they are freed, once; structs say how large they are.
    unsafe {
        let mut arrays: contrib_routes_arrays = std::mem::zeroed();
        let status = contrib_routes_get_arrays(found.0, &raw mut arrays);
        expect(status, CONTRIB_ERROR_STRUCT_SIZE, {
            "arrays: expected a struct_size from 168 to 4096, the same for all, got 0"
        });
        assert!(arrays.n_nodes == 0 && arrays.edge_flow.is_null());
        expect(contrib_routes_get_arrays(found.0, ptr::null_mut()), pointer, &null("arrays"));
        expect(contrib_routes_get_arrays(ptr::null(), &raw mut arrays), pointer, &null("routes"));

        let mut totals = untouched();
        expect(contrib_totals_new(ptr::null(), &raw mut totals), pointer, &null("routes"));
        expect(contrib_totals_new(found.0, ptr::null_mut()), pointer, &null("out"));
        expect(contrib_totals_add(ptr::null_mut(), ptr::null()), pointer, &null("totals"));
        assert_eq!(totals, untouched());
        assert_eq!(contrib_totals_new(found.0, &raw mut totals), CONTRIB_OK);
        expect(contrib_totals_add(totals, ptr::null()), pointer, &null("other"));
        let mut sums: contrib_totals_arrays = std::mem::zeroed();
        sums.struct_size = size_of::<contrib_totals_arrays>();
        expect(contrib_totals_get_arrays(ptr::null(), &raw mut sums), pointer, &null("totals"));
        expect(contrib_totals_get_arrays(totals, ptr::null_mut()), pointer, &null("arrays"));
        contrib_totals_free(totals);

        let mut difference = untouched();
        let of = |before, after, tolerance, out| contrib_difference_new(before, after, tolerance, out);
        expect(of(ptr::null(), found.0, 0.0, &raw mut difference), pointer, &null("before"));
        expect(of(found.0, ptr::null(), 0.0, &raw mut difference), pointer, &null("after"));
        expect(of(found.0, found.0, 0.0, ptr::null_mut()), pointer, &null("out"));
        for tolerance in [-1.0, f64::NAN, f64::INFINITY] {
            let sentence = format!("tolerance: expected a finite number, 0 or more, got {tolerance}");
            expect(of(found.0, found.0, tolerance, &raw mut difference), CONTRIB_ERROR_NUMBER, &sentence);
        }
        let file = open(RECORDING).unwrap().find(Some(&[3]), &default_options()).unwrap();
        expect(of(found.0, file.0, 0.0, &raw mut difference), CONTRIB_ERROR_UNLIKE, {
            "expected results with the same layers"
        });
        assert_eq!(difference, untouched());
        let mut len = 7;
        assert!(contrib_difference_changes(ptr::null(), &raw mut len).is_null() && len == 0);
        assert_eq!(of(found.0, found.0, 0.0, &raw mut difference), CONTRIB_OK);
        contrib_difference_changes(difference, &raw mut len);
        assert_eq!(len, 0, "routes do not differ from themselves");
        contrib_difference_free(difference);
        contrib_difference_free(ptr::null_mut());
        contrib_totals_free(ptr::null_mut());
        contrib_routes_free(ptr::null_mut());
        contrib_recording_free(ptr::null_mut());
    }
}

fn no_labels() -> contrib_labels {
    // SAFETY: zeros are valid in all fields.
    contrib_labels { struct_size: size_of::<contrib_labels>(), ..unsafe { std::mem::zeroed() } }
}

/// Returns what `user_data` points to, having counted.
unsafe extern "C" fn refuse(user_data: *mut c_void, _: *const c_char, _: usize) -> i32 {
    // SAFETY: it points to a number and a count.
    let (got, calls) = unsafe { &mut *user_data.cast::<(i32, usize)>() };
    *calls += 1;
    *got
}

#[test]
fn arguments_of_functions_that_write_are_checked_before_anything_is_written() {
    let found = found();
    let mut refused = (9_i32, 0_usize);
    let to = (&raw mut refused).cast();
    let text = contrib_text { bytes: ptr::null(), len: 1 };
    let (empty, probability) = (contrib_text { bytes: ptr::null(), len: 0 }, 1.5);
    let next = contrib_labels { next_tokens: &raw const empty, n_next_tokens: 1, ..no_labels() };
    let null = |name: &str| format!("{name}: expected a pointer, got NULL");
    let pointer = CONTRIB_ERROR_NULL_POINTER;
    let cases = [
        (contrib_labels { struct_size: 72, ..no_labels() }, CONTRIB_ERROR_STRUCT_SIZE, {
            "labels: expected a struct_size from 80 to 4096, the same for all, got 72".to_owned()
        }),
        (contrib_labels { model: text, ..no_labels() }, pointer, null("labels.model")),
        (contrib_labels { prompt: text, ..no_labels() }, pointer, null("labels.prompt")),
        (contrib_labels { n_tokens: 1, ..no_labels() }, pointer, null("labels.tokens")),
        (contrib_labels { n_next_tokens: 1, ..no_labels() }, pointer, null("labels.next_tokens")),
        (next, pointer, null("labels.next_probabilities")),
        (contrib_labels { next_probabilities: &raw const probability, ..next }, CONTRIB_ERROR_NUMBER, {
            "labels.next_tokens[0].probability: expected a number from 0 to 1, got 1.5".to_owned()
        }),
    ];
    for (labels, status, sentence) in cases {
        // SAFETY: the routes are alive, and the labels say what is there.
        let got = unsafe { contrib_routes_write(found.0, &raw const labels, CONTRIB_FORMAT_JSON, Some(refuse), to) };
        expect(got, status, &sentence);
    }
    let write = |routes, format, function| {
        // SAFETY: NULL is allowed, and refused.
        unsafe { contrib_routes_write(routes, ptr::null(), format, function, to) }
    };
    for format in [0, 6, -1, i32::MAX] {
        let sentence = format!("format: expected one of CONTRIB_FORMAT_ (1 to 5), got {format}");
        expect(write(found.0, format, Some(refuse)), CONTRIB_ERROR_FORMAT, &sentence);
    }
    expect(write(ptr::null(), CONTRIB_FORMAT_JSON, Some(refuse)), pointer, &null("routes"));
    expect(write(found.0, CONTRIB_FORMAT_JSON, None), pointer, &null("write"));
    // SAFETY: NULL is allowed, and refused.
    let got = unsafe { contrib_routes_write_recorded(found.0, ptr::null(), CONTRIB_FORMAT_JSON, Some(refuse), to) };
    expect(got, pointer, &null("recording"));
    assert_eq!(refused, (9, 0));
    expect(write(found.0, CONTRIB_FORMAT_JSON, Some(refuse)), CONTRIB_ERROR_CALLBACK, {
        "write: expected 0 from the callback, got 9"
    });
    assert_eq!(refused, (9, 1), "nothing is written after a refusal");
}

/// Opens a file.
fn open(path: &str) -> Result<Recording, contrib_status> {
    let (path, mut recording) = (CString::new(path).unwrap(), untouched());
    // SAFETY: the path is a C string, and the pointer may be written.
    match unsafe { contrib_recording_open(path.as_ptr(), &raw mut recording) } {
        CONTRIB_OK => Ok(Recording(recording)),
        status => {
            assert_eq!(recording, untouched());
            Err(status)
        }
    }
}

/// A file that is removed again.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("contrib-ffi-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn files_that_are_no_recordings_are_refused() {
    let expect_file = |name: &str, bytes: &[u8], status: contrib_status, sentence: &str| {
        let file = Temporary::new(name, bytes);
        let got = open(file.0.to_str().unwrap()).map(drop).unwrap_err();
        assert_eq!(got, status, "{name}: {}", message());
        assert!(message().starts_with(sentence), "{name}: {}", message());
    };
    let of_header = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    expect_file("empty", b"", CONTRIB_ERROR_FILE, "not a safetensors file: ");
    expect_file("short", &of_header("{}")[..9], CONTRIB_ERROR_FILE, "not a safetensors file: ");
    expect_file("lying", &[0xFF; 64], CONTRIB_ERROR_FILE, "not a safetensors file: ");
    expect_file("nothing", &of_header("{}"), CONTRIB_ERROR_METADATA, "metadata: n_layers: missing");
    let two = of_header("{\"__metadata__\":{\"n_layers\":\"2\"}}");
    expect_file("two", &two, CONTRIB_ERROR_MISSING, "resid_pre.0: missing");
    let integers = "{\"__metadata__\":{\"n_layers\":\"1\"},\"resid_pre.0\":\
                    {\"dtype\":\"I32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}";
    expect_file("integers", &of_header(integers), CONTRIB_ERROR_DTYPE, "resid_pre.0: expected F32, F64, F16 or BF16");
    let hollow = integers.replace("I32", "F32");
    expect_file("hollow", &of_header(&hollow), CONTRIB_ERROR_SHAPE, "resid_pre.0: expected elements, got [0, 4]");
    let axes = integers.replace("I32", "F32").replace("[0,4]", "[0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]");
    expect_file("axes", &of_header(&axes), CONTRIB_ERROR_NDIM, "resid_pre.0: expected 0 to 16 axes, got 17");
    let recording = fs::read(RECORDING).unwrap();
    expect_file("cut", &recording[..recording.len() - 4], CONTRIB_ERROR_FILE, "not a safetensors file: ");
    expect(open("/nonexistent/recording").map(drop).unwrap_err(), CONTRIB_ERROR_IO, {
        "path: No such file or directory (os error 2)"
    });
    assert_eq!(open("/").map(drop), Err(CONTRIB_ERROR_IO));
    let mut recording = untouched();
    // SAFETY: NULL is allowed, and refused.
    let status = unsafe { contrib_recording_open(ptr::null(), &raw mut recording) };
    expect(status, CONTRIB_ERROR_NULL_POINTER, "path: expected a pointer, got NULL");
    assert_eq!(recording, untouched());
}

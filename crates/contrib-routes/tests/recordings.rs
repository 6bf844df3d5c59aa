//! Recordings: files, damaged and hostile ones among them, tensors that do not agree, and engines that hand in layers.

mod common;

use common::model::{Choices, Model};
use contrib_core::{Tensor, half::f16};
use contrib_routes::{
    Attends, Attention, Error, Extent, File, HeadEdges, Layer, Memory, Moves, Options, Recording, Routes, Scores,
    Targets, routes, routes_with_progress,
};
use contrib_testing::{Kind, Random};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// A file that is removed again.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("contrib-routes-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(name: &str, bytes: &[u8]) -> Result<File, Error> {
    let temporary = Temporary::new(name, bytes);
    File::open(&temporary.0)
}

/// The bytes of a file with another header, of which `change` makes the JSON text.
fn with_header(bytes: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = change(std::str::from_utf8(&bytes[8..8 + len]).unwrap());
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + len..]].concat()
}

fn all(recording: &mut dyn Recording) -> Result<Routes, Error> {
    routes(recording, Targets::All, &Options { threshold: 0.01, ..Options::default() })
}

#[test]
fn a_file_has_the_routes_of_the_same_tensors_in_memory() {
    let plain = Choices { kv_heads: 2, ..Choices::PLAIN };
    let many = [
        plain,
        Choices { by_pattern: true, has_value_output: true, ..plain },
        Choices { scoring: [true; 4], has_scale: true, biases: [true; 2], ..plain },
        Choices { is_parallel: true, biases: [true, false], ..plain },
        Choices { kind: Some(Kind::F16), ..plain },
        Choices { kind: Some(Kind::Bf16), ..plain },
        Choices { kind: Some(Kind::F64), n_layers: 1, ..plain },
    ];
    for choices in many {
        let model = Model::new(choices);
        let mut file = open("same", &model.file()).unwrap();
        assert_eq!(all(&mut file).unwrap(), all(&mut model.recording()).unwrap(), "{choices:?}");
        assert_eq!(file.tokens().unwrap().len(), choices.n_pos);
        assert_eq!(file.metadata("n_layers").unwrap(), choices.n_layers.to_string());
    }
}

#[test]
fn a_file_that_is_truncated_anywhere_is_an_error() {
    let bytes = Model::new(Choices { n_layers: 1, n_pos: 2, ..Choices::PLAIN }).file();
    all(&mut open("truncated", &bytes).unwrap()).unwrap();
    for len in 0..bytes.len() {
        assert!(open("truncated", &bytes[..len]).is_err(), "the first {len} bytes");
    }
    assert!(open("truncated", &[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_file_with_flipped_bytes_is_an_error_or_has_routes() {
    let bytes = Model::new(Choices { n_layers: 1, n_pos: 2, scoring: [true; 4], ..Choices::PLAIN }).file();
    let mut random = Random::new(5);
    let (mut opened, mut found) = (0, 0);
    for round in 0..3000 {
        let mut damaged = bytes.clone();
        // Two rounds of three in the header, which is the first part of the file.
        let limit = if round % 3 == 0 { bytes.len() } else { 1200.min(bytes.len()) };
        for _ in 0..=random.below(3) {
            damaged[random.below(limit)] = random.bits() as u8;
        }
        if let Ok(mut file) = open("flipped", &damaged) {
            opened += 1;
            if let Ok(routes) = all(&mut file) {
                found += 1;
                assert!(routes.edge_weights().iter().all(|&weight| weight > 0.01 && weight <= 1.0 + 1e-6));
            }
        }
    }
    assert!(opened > 500 && found > 400, "{opened} of 3000 could be opened, and {found} had routes");
}

#[test]
fn errors_name_the_tensor_and_what_is_wrong_with_it() {
    let bytes = Model::new(Choices::PLAIN).file();
    let error = |change: &dyn Fn(&str) -> String| open("named", &with_header(&bytes, change)).unwrap_err().to_string();
    let replaced = |from: &'static str, to: &'static str| {
        error(&|header| {
            assert!(header.contains(from), "{from} is not in {header}");
            header.replace(from, to)
        })
    };
    assert_eq!(replaced("\"mlp_out.1\"", "\"other\""), "mlp_out.1: missing");
    assert_eq!(replaced("\"queries.0\"", "\"other\""), "queries.0: missing");
    assert_eq!(replaced("\"resid_post\"", "\"other\""), "resid_post: missing");
    assert_eq!(replaced("\"n_layers\":\"2\"", "\"n_layers\":\"3\""), "resid_pre.2: missing");
    assert_eq!(replaced("\"n_layers\"", "\"layers\""), "metadata: n_layers: missing");
    assert_eq!(replaced("\"n_layers\":\"2\"", "\"n_layers\":\"0\""), "metadata: n_layers: expected 1 or more, got 0");
    assert_eq!(replaced("\"n_layers\":\"2\"", "\"n_layers\":\"-2\""), {
        "metadata: n_layers: expected a number of them, got \"-2\""
    });
    assert_eq!(replaced("\"scale\":\"0.75\"", "\"scale\":\"NaN\""), {
        "metadata: scale: expected a finite number, got \"NaN\""
    });
    assert_eq!(replaced("\"n_heads\":\"2\"", "\"n_heads\":\"4\""), {
        "metadata: n_heads: expected 2 to match the tensors of layer 0, got 4"
    });
    assert_eq!(replaced("[\\\"a\\\", ", "["), "metadata: tokens: expected 5 to match the tensors of layer 0, got 4");
    assert_eq!(replaced("\"parallel\":\"false\"", "\"window\":\"[1]\""), {
        "metadata: window: expected one for all layers, or a list with one for each, got \"[1]\""
    });
    assert_eq!(
        replaced("[5,2,4]", "[4,2,5]"),
        "queries.0: expected [5, 2, *] to match the positions and heads, got [4, 2, 5]"
    );
    assert_eq!(
        replaced("[5,1,3]", "[3,1,5]"),
        "values.0: expected [5, 1, *] to match the positions and keys, got [3, 1, 5]"
    );
    assert_eq!(replaced("[2,3,8]", "[8,3,2]"), {
        "w_o.0: expected [2, 3, 8] to match the heads, values and resid_pre, got [8, 3, 2]"
    });
    let integers = error(&|header| header.replace("\"F32\"", "\"I32\""));
    assert!(integers.ends_with("expected F32, F64, F16 or BF16, got I32"), "{integers}");
}

#[test]
fn headers_that_lie_are_errors() {
    let bytes = Model::new(Choices::PLAIN).file();
    for len in [0, 1, bytes.len() as u64, 100_000_001, u64::MAX - 8, u64::MAX] {
        let lying = [&len.to_le_bytes()[..], &bytes[8..]].concat();
        assert!(matches!(open("lying", &lying), Err(Error::Header(_))), "a header of {len} bytes");
    }
    let offsets = ["[0,80]", "[80,160]", "[160,320]"];
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let overlapping = with_header(&bytes, |header| header.replace(offsets[from], offsets[to]));
        assert!(overlapping != bytes && matches!(open("lying", &overlapping), Err(Error::Header(_))));
    }
    let beyond = with_header(&bytes, |header| header.replace("[0,80]", "[0,18446744073709551615]"));
    assert!(matches!(open("lying", &beyond), Err(Error::Header(_))));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = [&(nested.len() as u64).to_le_bytes()[..], nested.as_bytes()].concat();
    assert!(matches!(open("lying", &nested), Err(Error::Header(_))));
    assert!(matches!(File::open("/nonexistent/recording"), Err(Error::Io(_))));
}

#[test]
fn a_file_whose_tensors_are_not_aligned_is_an_error() {
    let bytes = Model::new(Choices::PLAIN).file();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let shifted =
        [&(len + 1).to_le_bytes()[..], &bytes[8..8 + len as usize], b" ", &bytes[8 + len as usize..]].concat();
    let error = open("aligned", &shifted).unwrap_err();
    assert!(matches!(error, Error::Misaligned { .. }), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_errors_that_name_the_tensor() {
    for (name, index) in
        [("resid_pre", "[3, 2]"), ("resid_mid", "[3, 2]"), ("mlp_out", "[3, 2]"), ("queries", "[1, 1, 2]")]
    {
        let mut model = Model::new(Choices { biases: [true; 2], ..Choices::PLAIN });
        let array = model.layers[1].arrays.get_mut(name).unwrap();
        let place = if name == "queries" { (2 + 1) * 4 + 2 } else { 3 * 8 + 2 };
        array.numbers.set(place, f64::NAN);
        let error = all(&mut model.recording()).unwrap_err().to_string();
        assert_eq!(error, format!("{name}.1: not a finite number at {index}"));
    }
    // A row that no route reaches is not looked at.
    let mut model = Model::new(Choices::PLAIN);
    model.layers[1].arrays.get_mut("mlp_out").unwrap().numbers.set(4 * 8, f64::NAN);
    routes(&mut model.recording(), Targets::At(&[3]), &Options::default()).unwrap();
    routes(&mut model.recording(), Targets::At(&[4]), &Options::default()).unwrap_err();
}

#[test]
fn tensors_in_memory_that_do_not_agree_are_errors() {
    static NUMBERS: [f32; 200] = [0.5; 200];
    let model = Model::new(Choices::PLAIN);
    let layers = || model.layers.iter().map(|layer| layer.tensors(&model.choices)).collect::<Vec<_>>();
    let with = |change: &dyn Fn(&mut Layer<'_>)| {
        let mut layers = layers();
        change(&mut layers[1]);
        Memory::new(layers).unwrap_err().to_string()
    };
    let tensor = |shape: &[usize]| Tensor::new(&NUMBERS, shape).unwrap();
    assert_eq!(
        with(&|layer| layer.resid_post = tensor(&[5, 7])),
        "resid_post.1: expected [5, 8] to match resid_pre, got [5, 7]"
    );
    assert_eq!(with(&|layer| layer.resid_pre = tensor(&[40])), {
        "resid_pre.1: expected [5, *] to match the positions of the recording, got [40]"
    });
    assert_eq!(
        with(&|layer| layer.mlp_bias = Some(tensor(&[9]))),
        "mlp_bias.1: expected [8] to match resid_pre, got [9]"
    );
    assert_eq!(with(&|layer| layer.attention.scale = Some(tensor(&[2, 1]))), {
        "attn_scale.1: expected [5, 1] to match resid_pre, got [2, 1]"
    });
    assert_eq!(with(&|layer| layer.attention.attends = Attends::Pattern(tensor(&[2, 5, 4]))), {
        "pattern.1: expected [2, 5, 5] to match the heads and positions, got [2, 5, 4]"
    });
    assert_eq!(
        with(&|layer| layer.attention.attends = Attends::Scores(Scores::causal(tensor(&[5, 2, 4]), tensor(&[5, 3, 4])))),
        { "keys.1: expected a number of key-value heads that divides 2 heads, got 3" }
    );
    let scores = || Scores::causal(tensor(&[5, 2, 4]), tensor(&[5, 1, 4]));
    assert_eq!(
        with(&|layer| layer.attention.attends = Attends::Scores(Scores { scale: Some(f64::INFINITY), ..scores() })),
        { "scale.1: expected a finite number, got inf" }
    );
    assert_eq!(with(&|layer| layer.attention.attends = Attends::Scores(Scores { soft_cap: Some(0.0), ..scores() })), {
        "soft_cap.1: expected a finite number greater than 0, got 0"
    });
    assert_eq!(Memory::new(Vec::new()).unwrap_err().to_string(), "resid_pre.0: missing");
}

#[test]
fn choices_that_cannot_be_are_errors() {
    let model = Model::new(Choices::PLAIN);
    let of = |targets, options: &Options<'_>| routes(&mut model.recording(), targets, options).unwrap_err().to_string();
    let options = Options::default();
    for threshold in [f64::NAN, -0.1, f64::INFINITY] {
        assert_eq!(of(Targets::All, &Options { threshold, ..options }), {
            format!("threshold: expected a finite number, 0 or more, got {threshold}")
        });
        let renormalise = Some(threshold);
        assert_eq!(of(Targets::All, &Options { renormalise, ..options }), {
            format!("renormalise: expected a finite number, 0 or more, got {threshold}")
        });
    }
    assert_eq!(of(Targets::All, &Options { block: Some(0), ..options }), "block: expected 1 or more, got 0");
    assert_eq!(of(Targets::At(&[2, 5]), &options), "targets: expected positions below 5, got 5");
    let found = routes(&mut model.recording(), Targets::At(&[2]), &options).unwrap();
    assert_eq!(
        found.routes_to(Targets::At(&[3]), 0.0).unwrap_err().to_string(),
        "targets: expected positions below 5, got 3"
    );
    found.routes_to(Targets::At(&[2]), f64::NAN).unwrap_err();
    assert_eq!(routes(&mut model.recording(), Targets::At(&[]), &options).unwrap().n_nodes(), 0);
}

#[test]
fn a_prompt_without_tokens_and_a_model_without_heads_have_routes() {
    static NUMBERS: [f32; 40] = [0.5; 40];
    let tensor = |shape: &[usize]| Tensor::new(&NUMBERS, shape).unwrap();
    for (n_pos, n_heads) in [(0, 2), (3, 0), (0, 0)] {
        let stream = tensor(&[n_pos, 4]);
        let layer = Layer {
            resid_pre: stream,
            resid_mid: Some(stream),
            resid_post: stream,
            attention: Attention {
                attends: Attends::Pattern(tensor(&[n_heads, n_pos, n_pos])),
                moves: Moves::ValueOutput(tensor(&[n_pos, n_heads, 4])),
                scale: None,
                bias: None,
            },
            mlp_out: stream,
            mlp_bias: None,
        };
        for heads in [HeadEdges::Each, HeadEdges::Summed] {
            let options = Options { heads, ..Options::default() };
            let found = routes(&mut Memory::new(vec![layer]).unwrap(), Targets::All, &options).unwrap();
            // From each embedding to the stream after attention, from there to the next stream, and by the MLP.
            assert_eq!((found.n_nodes(), found.n_edges()), (4 * n_pos, 4 * n_pos));
        }
    }
}

/// An engine that makes each layer when it is needed, in the same memory.
struct Engine<'a> {
    model: &'a Model,
    resid_pre: Vec<f16>,
    asked: Vec<usize>,
    fails_at: Option<usize>,
}

impl Recording for Engine<'_> {
    fn n_layers(&self) -> usize {
        self.model.layers.len()
    }

    fn n_pos(&self) -> usize {
        self.model.choices.n_pos
    }

    fn n_heads(&self) -> usize {
        self.model.choices.n_heads()
    }

    fn layer(&mut self, index: usize) -> Result<Layer<'_>, Error> {
        self.asked.push(index);
        if self.fails_at == Some(index) {
            return Err(Error::Recording("the engine is out of order".into()));
        }
        let layer = self.model.layers[index].tensors(&self.model.choices);
        self.resid_pre.resize(layer.resid_pre.shape().iter().product(), f16::ZERO);
        layer.resid_pre.copy_to(&mut self.resid_pre);
        let resid_pre = Tensor::new(&self.resid_pre, layer.resid_pre.shape())?;
        Ok(Layer { resid_pre, ..layer })
    }
}

#[test]
fn an_engine_hands_in_each_layer_once_from_the_last_to_the_first() {
    let model = Model::new(Choices { n_layers: 4, kind: Some(Kind::F16), ..Choices::PLAIN });
    let mut engine = Engine { model: &model, resid_pre: Vec::new(), asked: Vec::new(), fails_at: None };
    assert_eq!(all(&mut engine).unwrap(), all(&mut model.recording()).unwrap());
    assert_eq!(engine.asked, [3, 2, 1, 0]);
    engine.fails_at = Some(1);
    assert_eq!(all(&mut engine).unwrap_err().to_string(), "the recording: the engine is out of order");
}

#[test]
fn work_can_be_stopped_after_any_block() {
    let model = Model::new(Choices { n_layers: 3, ..Choices::PLAIN });
    let options = Options { block: Some(2), extent: Extent::All, heads: HeadEdges::Summed, ..Options::default() };
    let mut heard = Vec::new();
    let whole = routes_with_progress(&mut model.recording(), Targets::All, &options, &mut |progress| {
        heard.push(progress);
        ControlFlow::Continue(())
    });
    // Three layers of two stages, each with five positions in three blocks.
    assert_eq!(heard.len(), 18);
    assert!(heard.iter().all(|progress| progress.positions == 5 && progress.n_layers == 3));
    assert_eq!(heard.iter().take(6).map(|progress| progress.done).collect::<Vec<_>>(), [2, 4, 5, 2, 4, 5]);
    assert!(heard.is_sorted_by_key(|progress| (std::cmp::Reverse(progress.layer), progress.edges)));
    assert!(whole.is_ok());
    for stop_after in 1..=18 {
        let mut blocks = 0;
        let stopped = routes_with_progress(&mut model.recording(), Targets::All, &options, &mut |_| {
            blocks += 1;
            if blocks == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_eq!(blocks, stop_after);
    }
}

#[test]
fn a_file_says_what_its_texts_are() {
    let plain = Model::new(Choices::PLAIN).file();
    let with = |metadata: &str| {
        let bytes = with_header(&plain, |header| header.replace("\"n_layers\"", &format!("{metadata},\"n_layers\"")));
        open("labels", &bytes).and_then(|file| file.labels())
    };
    let labels = with(r#""model":"tiny","prompt":"a b","next_tokens":"[[\" Rome\", 0.5], [\"x\", 0]]""#).unwrap();
    assert_eq!((labels.model(), labels.prompt()), (Some("tiny"), Some("a b")));
    assert_eq!((labels.token(0), labels.n_tokens()), (Some("a"), 5));
    assert_eq!(labels.next_tokens().collect::<Vec<_>>(), [(" Rome", 0.5), ("x", 0.0)]);
    let none = open("no-labels", &plain).unwrap().labels().unwrap();
    assert_eq!((none.model(), none.prompt(), none.next_tokens().len()), (None, None, 0));

    let wrong = |metadata: &str| with(metadata).unwrap_err().to_string();
    assert_eq!(
        wrong(r#""next_tokens":"[\"Rome\"]""#),
        "metadata: next_tokens: expected a JSON list of pairs: a string and a number, got \"[\\\"Rome\\\"]\""
    );
    assert_eq!(wrong(r#""next_tokens":"[[\"Rome\", 2]]""#), "probability: expected a number from 0 to 1, got 2");
}

#[test]
fn bytes_in_memory_are_the_same_recording_as_their_file() {
    let bytes = Model::new(Choices { biases: [true; 2], ..Choices::PLAIN }).file();
    let mut file = open("bytes", &bytes).unwrap();
    let mut in_memory = File::from_bytes(bytes.clone()).unwrap();
    assert_eq!(all(&mut in_memory).unwrap(), all(&mut file).unwrap());
    assert_eq!(in_memory.all_metadata(), file.all_metadata());
    assert!(in_memory.all_metadata().is_sorted());
    let stored = in_memory.stored_tensors();
    assert_eq!(stored, file.stored_tensors());
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(stored.iter().map(|tensor| tensor.bytes).sum::<usize>(), bytes.len() - 8 - header_len);
    let values = stored.iter().find(|tensor| tensor.name == "values.1").unwrap();
    assert_eq!((values.dtype.as_str(), &values.shape[..], values.bytes), ("F32", &[5, 1, 3][..], 60));
    for len in 0..bytes.len() {
        assert!(File::from_bytes(bytes[..len].to_vec()).is_err());
    }
}

#[test]
fn a_tensor_without_elements_is_an_error_whatever_its_extents_are() {
    let bytes = Model::new(Choices::PLAIN).file();
    for extents in ["4000000000,0", "0,8", "0,18446744073709551615"] {
        let empty = with_header(&bytes, |header| {
            let header = header.replacen("\"mlp_out.0\"", "\"other\"", 1);
            let entry = format!("{{\"mlp_out.0\":{{\"dtype\":\"F32\",\"shape\":[{extents}],\"data_offsets\":[0,0]}},");
            header.replacen('{', &entry, 1)
        });
        match open("empty", &empty) {
            Err(error @ Error::Empty { .. }) => assert!(error.to_string().starts_with("mlp_out.0: expected elements")),
            other => panic!("{extents}: {other:?}"),
        }
    }
}

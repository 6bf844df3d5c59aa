//! A small random model whose layers are handed in, by the C API and by the Rust API.

use ::contrib_routes::{Attends, Attention, Layer, Memory, Moves, Scores};
use contrib::prepared_projection::{
    contrib_prepared_projection, contrib_prepared_projection_free, contrib_prepared_projection_new,
};
use contrib::queries_and_keys::{CONTRIB_CAUSAL, contrib_queries_and_keys};
use contrib::routes::find::{CONTRIB_ALL_TARGETS, contrib_routes, contrib_routes_find, contrib_routes_free};
use contrib::routes::finder::{
    contrib_routes_finder, contrib_routes_finder_find, contrib_routes_finder_free, contrib_routes_finder_new,
    contrib_routes_finder_truncate,
};
use contrib::routes::layer::{
    contrib_hand_in_layer, contrib_layer, contrib_layer_receiver, contrib_layer_receiver_positions,
};
use contrib::routes::options::contrib_routes_options;
use contrib::routes::recording::{
    contrib_recording, contrib_recording_free, contrib_recording_new, contrib_recording_open,
};
use contrib::routes::source::contrib_recording_source;
use contrib::status::{CONTRIB_OK, contrib_status};
use contrib::tensor::{CONTRIB_DEVICE_CPU, CONTRIB_DTYPE_FLOAT, contrib_dtype, contrib_tensor};
use contrib_core::Tensor;
use contrib_testing::Random;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_void};
use std::ptr;

pub const LAYERS: usize = 3;
pub const POSITIONS: usize = 6;
pub const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const D_HEAD: usize = 3;
const D_MODEL: usize = 8;

/// What a model is like.
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    pub is_parallel: bool,
    pub by_pattern: bool,
    pub has_product: bool,
    pub has_biases: bool,
    pub has_scale: bool,
    pub has_extras: bool,
}

impl Choices {
    pub fn all() -> Vec<Choices> {
        let none = Choices::default();
        vec![
            none,
            Choices { by_pattern: true, has_product: true, ..none },
            Choices { has_biases: true, has_scale: true, has_extras: true, ..none },
            Choices { is_parallel: true, has_biases: true, ..none },
            Choices { by_pattern: true, has_scale: true, is_parallel: true, ..none },
        ]
    }
}

/// A tensor in memory.
struct Array {
    numbers: Vec<f32>,
    shape: Vec<i64>,
}

impl Array {
    fn new(random: &mut Random, shape: &[usize]) -> Self {
        let numbers = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
        Array { numbers, shape: shape.iter().map(|&extent| extent as i64).collect() }
    }

    fn of_c(&self) -> contrib_tensor {
        contrib_tensor {
            data: self.numbers.as_ptr().cast_mut().cast(),
            device_type: CONTRIB_DEVICE_CPU,
            device_id: 0,
            ndim: self.shape.len() as i32,
            dtype: contrib_dtype { code: CONTRIB_DTYPE_FLOAT, bits: 32, lanes: 1 },
            shape: self.shape.as_ptr().cast_mut(),
            strides: ptr::null_mut(),
            byte_offset: 0,
        }
    }

    fn of_rust(&self) -> Tensor<'_> {
        let shape: Vec<usize> = self.shape.iter().map(|&extent| extent as usize).collect();
        Tensor::new(&self.numbers, &shape).expect("the numbers fill the shape")
    }
}

/// The tensors of a layer; what a model does not have is not handed in.
struct Arrays {
    resid_pre: Array,
    resid_mid: Array,
    resid_post: Array,
    pattern: Array,
    queries: Array,
    keys: Array,
    slopes: Array,
    sinks: Array,
    values: Array,
    w_o: Array,
    value_output: Array,
    attn_scale: Array,
    attn_bias: Array,
    mlp_out: Array,
    mlp_bias: Array,
}

/// What a layer's struct points to.
pub struct Handed {
    pub tensors: [contrib_tensor; 15],
    pub queries_and_keys: contrib_queries_and_keys,
    pub layer: contrib_layer,
}

/// What was prepared of a `w_o`, which is freed.
pub struct Prepared(*mut contrib_prepared_projection);

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { contrib_prepared_projection_free(self.0) };
    }
}

/// What is changed of a layer before it is handed in.
pub type Change = fn(&mut Handed);

/// A model, and how its layers are handed in.
pub struct Model {
    pub choices: Choices,
    layers: Vec<Arrays>,
    /// What is handed in with each layer, if anything is.
    pub prepared: Vec<Prepared>,
    /// Changes the layer with this index.
    pub change: Option<(usize, Change)>,
    /// At the layer with this index, this is returned; and whether the layer is handed in before.
    pub returns: Option<(usize, i32, bool)>,
    /// How many layers were asked for.
    pub asked: Cell<usize>,
    /// At which positions the last one was.
    pub asked_at: RefCell<Vec<u32>>,
}

impl Model {
    pub fn new(choices: Choices, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut array = |shape: &[usize]| Array::new(&mut random, shape);
        let stream = [POSITIONS, D_MODEL];
        let layers = (0..LAYERS)
            .map(|_| {
                let mut arrays = Arrays {
                    resid_pre: array(&stream),
                    resid_mid: array(&stream),
                    resid_post: array(&stream),
                    pattern: array(&[HEADS, POSITIONS, POSITIONS]),
                    queries: array(&[POSITIONS, HEADS, D_HEAD]),
                    keys: array(&[POSITIONS, KV_HEADS, D_HEAD]),
                    slopes: array(&[HEADS]),
                    sinks: array(&[HEADS]),
                    values: array(&[POSITIONS, KV_HEADS, D_HEAD]),
                    w_o: array(&[HEADS, D_HEAD, D_MODEL]),
                    value_output: array(&[POSITIONS, HEADS, D_MODEL]),
                    attn_scale: array(&[POSITIONS, 1]),
                    attn_bias: array(&[D_MODEL]),
                    mlp_out: array(&stream),
                    mlp_bias: array(&stream),
                };
                for (place, coefficient) in arrays.pattern.numbers.iter_mut().enumerate() {
                    let (query, key) = (place / POSITIONS % POSITIONS, place % POSITIONS);
                    *coefficient = if key > query { 0.0 } else { coefficient.abs() / (query + 1) as f32 };
                }
                arrays
            })
            .collect();
        Model {
            choices,
            layers,
            prepared: Vec::new(),
            change: None,
            returns: None,
            asked: Cell::new(0),
            asked_at: RefCell::default(),
        }
    }

    /// Hands in what is prepared of each layer's `w_o` from now on.
    pub fn prepare(&mut self) {
        let of_layer = |arrays: &Arrays| {
            let (w_o, mut prepared) = (arrays.w_o.of_c(), ptr::null_mut());
            // SAFETY: the tensor is right, and the pointer may be written.
            let status = unsafe { contrib_prepared_projection_new(&raw const w_o, ptr::null(), &raw mut prepared) };
            assert_eq!(status, CONTRIB_OK);
            Prepared(prepared)
        };
        self.prepared = self.layers.iter().map(of_layer).collect();
    }

    /// The same by the Rust API.
    pub fn memory(&self) -> Memory<'_> {
        let Choices { is_parallel, by_pattern, has_product, has_biases, has_scale, has_extras } = self.choices;
        let layers = self.layers.iter().map(|arrays| Layer {
            resid_pre: arrays.resid_pre.of_rust(),
            resid_mid: (!is_parallel).then(|| arrays.resid_mid.of_rust()),
            resid_post: arrays.resid_post.of_rust(),
            attention: Attention {
                attends: if by_pattern {
                    Attends::Pattern(arrays.pattern.of_rust())
                } else {
                    let plain = Scores::causal(arrays.queries.of_rust(), arrays.keys.of_rust());
                    Attends::Scores(if has_extras {
                        Scores {
                            scale: Some(0.5),
                            soft_cap: Some(2.0),
                            window: Some(4),
                            slopes: Some(arrays.slopes.of_rust()),
                            sinks: Some(arrays.sinks.of_rust()),
                            ..plain
                        }
                    } else {
                        plain
                    })
                },
                moves: if has_product {
                    Moves::ValueOutput(arrays.value_output.of_rust())
                } else {
                    Moves::Values { values: arrays.values.of_rust(), w_o: arrays.w_o.of_rust(), prepared: None }
                },
                scale: has_scale.then(|| arrays.attn_scale.of_rust()),
                bias: has_biases.then(|| arrays.attn_bias.of_rust()),
            },
            mlp_out: arrays.mlp_out.of_rust(),
            mlp_bias: has_biases.then(|| arrays.mlp_bias.of_rust()),
        });
        Memory::new(layers.collect()).expect("the tensors fit")
    }

    /// The same as a file, without what only metadata can say: windows, slopes and sinks.
    pub fn file(&self) -> Vec<u8> {
        let Choices { is_parallel, by_pattern, has_product, has_biases, has_scale, .. } = self.choices;
        let mut header = format!("{{\"__metadata__\":{{\"n_layers\":\"{LAYERS}\",\"parallel\":\"{is_parallel}\"}}");
        let mut bytes = Vec::new();
        let mut add = |name: &str, array: &Array, is_given: bool| {
            if is_given {
                let start = bytes.len();
                bytes.extend(array.numbers.iter().flat_map(|number| number.to_le_bytes()));
                let (shape, end) = (&array.shape, bytes.len());
                let info = format!("{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
                header.extend([",\"", name, "\":", &info]);
            }
        };
        for (index, arrays) in self.layers.iter().enumerate() {
            let mut add = |name: &str, array, is_given| add(&format!("{name}.{index}"), array, is_given);
            add("resid_pre", &arrays.resid_pre, true);
            add("resid_mid", &arrays.resid_mid, !is_parallel);
            add("pattern", &arrays.pattern, by_pattern);
            add("queries", &arrays.queries, !by_pattern);
            add("keys", &arrays.keys, !by_pattern);
            add("values", &arrays.values, !has_product);
            add("w_o", &arrays.w_o, !has_product);
            add("value_output", &arrays.value_output, has_product);
            add("attn_scale", &arrays.attn_scale, has_scale);
            add("attn_bias", &arrays.attn_bias, has_biases);
            add("mlp_out", &arrays.mlp_out, true);
            add("mlp_bias", &arrays.mlp_bias, has_biases);
        }
        add("resid_post", &self.layers[LAYERS - 1].resid_post, true);
        header.push('}');
        header.extend(std::iter::repeat_n(' ', header.len().wrapping_neg() % 8));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()
    }

    /// Fills in the struct of a layer, whose pointers are to what is in `handed`.
    fn fill(&self, index: usize, handed: &mut Handed) {
        let arrays = &self.layers[index];
        let Choices { is_parallel, by_pattern, has_product, has_biases, has_scale, has_extras } = self.choices;
        let all = [
            &arrays.resid_pre,
            &arrays.resid_mid,
            &arrays.resid_post,
            &arrays.pattern,
            &arrays.queries,
            &arrays.keys,
            &arrays.slopes,
            &arrays.sinks,
            &arrays.values,
            &arrays.w_o,
            &arrays.value_output,
            &arrays.attn_scale,
            &arrays.attn_bias,
            &arrays.mlp_out,
            &arrays.mlp_bias,
        ];
        handed.tensors = all.map(Array::of_c);
        let given = |place: usize, is_given: bool| {
            if is_given { &raw const handed.tensors[place] } else { ptr::null() }
        };
        let extra = if has_extras { 1.0 } else { 0.0 };
        handed.queries_and_keys = contrib_queries_and_keys {
            queries: given(4, true),
            keys: given(5, true),
            score_scale: 0.5 * extra,
            soft_cap: 2.0 * extra,
            window: if has_extras { 4 } else { 0 },
            slopes: given(6, has_extras),
            sinks: given(7, has_extras),
            flags: CONTRIB_CAUSAL,
            ..super::NO_QUERIES_AND_KEYS
        };
        handed.layer = contrib_layer {
            struct_size: size_of::<contrib_layer>(),
            resid_pre: given(0, true),
            resid_mid: given(1, !is_parallel),
            resid_post: given(2, true),
            pattern: given(3, by_pattern),
            queries_and_keys: if by_pattern { ptr::null() } else { &raw const handed.queries_and_keys },
            values: given(8, !has_product),
            w_o: given(9, !has_product),
            value_output: given(10, has_product),
            attn_scale: given(11, has_scale),
            attn_bias: given(12, has_biases),
            mlp_out: given(13, true),
            mlp_bias: given(14, has_biases),
            prepared: self.prepared.get(index).map_or(ptr::null(), |prepared| prepared.0),
        };
    }

    /// The source whose layers are those of the model.
    pub fn source(&self) -> contrib_recording_source {
        contrib_recording_source {
            struct_size: size_of::<contrib_recording_source>(),
            n_layers: LAYERS,
            n_pos: POSITIONS,
            n_heads: HEADS,
            layer: Some(hand_in),
            user_data: ptr::from_ref(self).cast_mut().cast(),
            labels: ptr::null(),
        }
    }

    /// The recording of the model, which must stay where it is.
    pub fn recording(&self) -> Recording {
        let (source, mut recording) = (self.source(), ptr::null_mut());
        // SAFETY: the source is right, and the pointer may be written.
        assert_eq!(unsafe { contrib_recording_new(&raw const source, &raw mut recording) }, CONTRIB_OK);
        Recording(recording)
    }
}

/// A layer without anything.
pub const NO_LAYER: contrib_layer = contrib_layer {
    struct_size: size_of::<contrib_layer>(),
    resid_pre: ptr::null(),
    resid_mid: ptr::null(),
    resid_post: ptr::null(),
    pattern: ptr::null(),
    queries_and_keys: ptr::null(),
    values: ptr::null(),
    w_o: ptr::null(),
    value_output: ptr::null(),
    attn_scale: ptr::null(),
    attn_bias: ptr::null(),
    mlp_out: ptr::null(),
    mlp_bias: ptr::null(),
    prepared: ptr::null(),
};

/// Hands in a layer of the [`Model`] that `user_data` points to. Its structs do not outlive the call.
unsafe extern "C" fn hand_in(user_data: *mut c_void, index: usize, receiver: *mut contrib_layer_receiver) -> i32 {
    // SAFETY: it points to a model that stays where it is.
    let model = unsafe { &*user_data.cast::<Model>() };
    model.asked.set(model.asked.get() + 1);
    let mut n_positions = 0;
    // SAFETY: the receiver is that of this callback, and has as many positions as it says.
    let positions = unsafe {
        let positions = contrib_layer_receiver_positions(receiver, &raw mut n_positions);
        std::slice::from_raw_parts(positions, n_positions)
    };
    positions.clone_into(&mut model.asked_at.borrow_mut());
    let returns = model.returns.filter(|&(layer, ..)| layer == index);
    if let Some((_, got, false)) = returns {
        return got;
    }
    let mut handed = Handed {
        tensors: [model.layers[index].resid_pre.of_c(); 15],
        queries_and_keys: super::NO_QUERIES_AND_KEYS,
        layer: NO_LAYER,
    };
    model.fill(index, &mut handed);
    if let Some((_, change)) = model.change.filter(|&(layer, _)| layer == index) {
        change(&mut handed);
    }
    // SAFETY: the receiver is that of this callback, and the struct says what is there.
    let status = unsafe { contrib_hand_in_layer(receiver, &raw const handed.layer) };
    assert!(status == CONTRIB_OK || model.change.is_some());
    let broken = contrib_tensor { ndim: -1, ..handed.tensors[0] };
    handed.tensors.fill(broken);
    returns.map_or(0, |(_, got, _)| got)
}

/// A recording that is freed.
pub struct Recording(pub *mut contrib_recording);

// SAFETY: recordings may be used from any number of threads.
unsafe impl Sync for Recording {}
// SAFETY: as above.
unsafe impl Send for Recording {}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { contrib_recording_free(self.0) };
    }
}

impl Recording {
    /// A file that is in memory, which is written and removed again.
    pub fn of_file(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("contrib-ffi-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the folder for temporary files can be written");
        let (of_c, mut recording) = (CString::new(path.to_str().expect("UTF-8")).expect("no NUL"), ptr::null_mut());
        // SAFETY: the path is a C string, and the pointer may be written.
        let status = unsafe { contrib_recording_open(of_c.as_ptr(), &raw mut recording) };
        std::fs::remove_file(&path).expect("it was written");
        assert_eq!(status, CONTRIB_OK, "{}", super::message());
        Recording(recording)
    }
}

/// Routes that are freed.
pub struct Found(pub *mut contrib_routes);

// SAFETY: routes may be read from any number of threads.
unsafe impl Sync for Found {}
// SAFETY: as above.
unsafe impl Send for Found {}

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: they are freed once.
        unsafe { contrib_routes_free(self.0) };
    }
}

/// A finder that is freed.
pub struct Finder(pub *mut contrib_routes_finder);

impl Drop for Finder {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { contrib_routes_finder_free(self.0) };
    }
}

impl Finder {
    pub fn new() -> Self {
        let mut finder = ptr::null_mut();
        // SAFETY: the pointer may be written.
        assert_eq!(unsafe { contrib_routes_finder_new(&raw mut finder) }, CONTRIB_OK);
        Finder(finder)
    }

    /// Finds routes to these targets; `None`: all.
    pub fn find(
        &self,
        recording: &Recording,
        targets: Option<&[usize]>,
        options: &contrib_routes_options,
    ) -> Result<Found, contrib_status> {
        let (targets, n) = targets.map_or((ptr::null(), CONTRIB_ALL_TARGETS), |list| (list.as_ptr(), list.len()));
        let mut routes = ptr::null_mut();
        // SAFETY: finder and recording are alive, and the others say what is there.
        let status = unsafe { contrib_routes_finder_find(self.0, recording.0, targets, n, options, &raw mut routes) };
        if status == CONTRIB_OK { Ok(Found(routes)) } else { Err(status) }
    }

    pub fn truncate(&self, n_pos: usize) {
        // SAFETY: it is alive.
        unsafe { contrib_routes_finder_truncate(self.0, n_pos) };
    }
}

/// Options with the defaults.
pub const fn default_options() -> contrib_routes_options {
    contrib_routes_options {
        struct_size: size_of::<contrib_routes_options>(),
        threshold: 0.04,
        renormalise: 0.0,
        flags: 0,
        norm: 1.0,
        context: ptr::null(),
        block: 0,
        progress: None,
        user_data: ptr::null_mut(),
    }
}

impl Recording {
    /// Finds routes to these targets; `None`: all.
    pub fn find(&self, targets: Option<&[usize]>, options: &contrib_routes_options) -> Result<Found, contrib_status> {
        let (targets, n) = targets.map_or((ptr::null(), CONTRIB_ALL_TARGETS), |list| (list.as_ptr(), list.len()));
        let mut routes = ptr::null_mut();
        // SAFETY: the recording is alive, and the others say what is there.
        let status = unsafe { contrib_routes_find(self.0, targets, n, options, &raw mut routes) };
        if status == CONTRIB_OK {
            return Ok(Found(routes));
        }
        assert!(routes.is_null(), "an error leaves the output untouched");
        Err(status)
    }
}

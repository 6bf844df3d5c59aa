//! Dense parts: attention against the speed of memory.

use contrib_benches::{normal, read_all};
use contrib_core::half::{bf16, f16};
use contrib_core::{
    Context, Element, InstructionSet, Norm, Options, Tensor, TensorMut, attention, decomposed_mlp, mlp,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const POS: usize = 64;
const HEADS: usize = 12;
const D_MODEL: usize = 768;

/// One layer of GPT-2 small at 64 tokens: 151 MB of parts in f32, far more than the caches hold.
struct Attention<T> {
    resid_pre: Vec<T>,
    resid_mid: Vec<T>,
    decomposed_attn: Vec<T>,
    out_attn: Vec<f32>,
    out_resid: Vec<f32>,
    pos: usize,
}

impl<T: Element> Attention<T> {
    fn new(pos: usize) -> Self {
        let narrow = |numbers: Vec<f32>| numbers.into_iter().map(|x| T::nearest(f64::from(x))).collect();
        let parts: Vec<f32> = normal(pos * pos * HEADS * D_MODEL, 1).into_iter().map(|x| 0.05 * x).collect();
        let resid_pre = normal(pos * D_MODEL, 2);
        let mut resid_mid = resid_pre.clone();
        for (row, parts) in resid_mid.chunks_mut(D_MODEL).zip(parts.chunks(pos * HEADS * D_MODEL)) {
            for part in parts.chunks(D_MODEL) {
                row.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
            }
        }
        Attention {
            resid_pre: narrow(resid_pre),
            resid_mid: narrow(resid_mid),
            decomposed_attn: narrow(parts),
            out_attn: vec![0.0; pos * pos * HEADS],
            out_resid: vec![0.0; pos],
            pos,
        }
    }

    fn run(&mut self, strides: Option<&[isize]>, options: &Options<'_>) {
        let pos = self.pos;
        let stream = [1, pos, D_MODEL];
        let shape = [1, pos, pos, HEADS, D_MODEL];
        let decomposed_attn = match strides {
            None => Tensor::new(&self.decomposed_attn, &shape),
            Some(strides) => Tensor::strided(&self.decomposed_attn, 0, &shape, strides),
        };
        attention(
            &Tensor::new(&self.resid_pre, &stream).unwrap(),
            &Tensor::new(&self.resid_mid, &stream).unwrap(),
            &decomposed_attn.unwrap(),
            &mut TensorMut::new(&mut self.out_attn, &shape[..4]).unwrap(),
            &mut TensorMut::new(&mut self.out_resid, &stream[..2]).unwrap(),
            options,
        )
        .unwrap();
    }
}

fn elements(pos: usize) -> u64 {
    (pos * pos * HEADS * D_MODEL) as u64
}

fn norms() -> [(&'static str, Norm); 5] {
    let norm = |p| Norm::new(p).unwrap();
    [("1", Norm::ONE), ("2", Norm::TWO), ("inf", Norm::INFINITY), ("3", norm(3.0)), ("2.5", norm(2.5))]
}

/// Parts that memory has to deliver: in bytes a second, against reading the same bytes.
fn from_memory(criterion: &mut Criterion) {
    let mut f32s = Attention::<f32>::new(POS);
    let mut f16s = Attention::<f16>::new(POS);
    let mut bf16s = Attention::<bf16>::new(POS);
    for threads in [1, 2] {
        let context = Context::new(threads).unwrap();
        let mut group = criterion.benchmark_group(format!("memory, {threads} threads"));
        group.throughput(Throughput::Elements(elements(POS)));
        group.bench_function("read f32", |b| b.iter(|| read_all(&f32s.decomposed_attn, threads)));
        for (name, norm) in norms() {
            let options = Options::default().norm(norm).context(&context);
            group.bench_function(format!("f32 norm {name}"), |b| b.iter(|| f32s.run(None, &options)));
        }
        for (name, norm) in &norms()[..2] {
            let options = Options::default().norm(*norm).context(&context);
            group.bench_function(format!("f16 norm {name}"), |b| b.iter(|| f16s.run(None, &options)));
            group.bench_function(format!("bf16 norm {name}"), |b| b.iter(|| bf16s.run(None, &options)));
        }
        for set in InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best()) {
            let context = Context::new(threads).unwrap().at_most(set);
            let options = Options::default().context(&context);
            group.bench_function(format!("f32 norm 1 {}", set.name()), |b| b.iter(|| f32s.run(None, &options)));
            group.bench_function(format!("f16 norm 1 {}", set.name()), |b| b.iter(|| f16s.run(None, &options)));
        }
        let options = Options::default().context(&context);
        let (pos, heads, d_model) = (POS as isize, HEADS as isize, D_MODEL as isize);
        let head_last = [0, pos * heads * d_model, heads * d_model, 1, heads];
        let d_model_first = [0, pos * heads * d_model, heads, 1, pos * heads];
        for (name, strides) in
            [("[.., key_pos, d_model, head]", head_last), ("[.., d_model, key_pos, head]", d_model_first)]
        {
            group.bench_function(format!("f32 norm 1 {name}"), |b| b.iter(|| f32s.run(Some(&strides), &options)));
        }
        group.finish();
    }
}

/// Parts that are in the caches: arithmetic is the limit.
fn from_cache(criterion: &mut Criterion) {
    let pos = 8;
    let mut f32s = Attention::<f32>::new(pos);
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("cache, {threads} threads"));
        group.throughput(Throughput::Elements(elements(pos)));
        for (name, norm) in norms() {
            for set in InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best()) {
                let context = Context::new(threads).unwrap().at_most(set);
                let options = Options::default().norm(norm).context(&context);
                group.bench_function(format!("f32 norm {name} {}", set.name()), |b| {
                    b.iter(|| f32s.run(None, &options));
                });
            }
        }
        group.finish();
    }
}

/// One token: what a call costs beside its arithmetic, which is the difference to twice as many parts, halved.
fn small_calls(criterion: &mut Criterion) {
    let context = Context::new(1).unwrap();
    let options = Options::default().context(&context);
    let mut group = criterion.benchmark_group("one token");
    for parts in [HEADS, 2 * HEADS, 4 * HEADS] {
        let decomposed_attn = normal(parts * D_MODEL, 1);
        let resid_pre = normal(D_MODEL, 2);
        let (mut out_attn, mut out_resid) = (vec![0.0_f32; parts], [0.0_f32]);
        group.bench_function(format!("attention to {parts} parts"), |b| {
            b.iter(|| {
                attention(
                    &Tensor::new(&resid_pre, &[1, 1, D_MODEL]).unwrap(),
                    &Tensor::new(&resid_pre, &[1, 1, D_MODEL]).unwrap(),
                    &Tensor::new(&decomposed_attn, &[1, 1, parts / HEADS, HEADS, D_MODEL]).unwrap(),
                    &mut TensorMut::new(&mut out_attn, &[1, 1, parts / HEADS, HEADS]).unwrap(),
                    &mut TensorMut::new(&mut out_resid, &[1, 1]).unwrap(),
                    &options,
                )
                .unwrap();
            });
        });
    }
    for tokens in [1, 2, 4] {
        let stream = normal(tokens * D_MODEL, 3);
        let mlp_out = normal(tokens * D_MODEL, 4);
        let (mut out_mlp, mut out_resid) = (vec![0.0_f32; tokens], vec![0.0_f32; tokens]);
        let shape = [1, tokens, D_MODEL];
        group.bench_function(format!("mlp of {tokens} tokens"), |b| {
            b.iter(|| {
                mlp(
                    &Tensor::new(&stream, &shape).unwrap(),
                    &Tensor::new(&stream, &shape).unwrap(),
                    &Tensor::new(&mlp_out, &shape).unwrap(),
                    &mut TensorMut::new(&mut out_mlp, &shape[..2]).unwrap(),
                    &mut TensorMut::new(&mut out_resid, &shape[..2]).unwrap(),
                    &options,
                )
                .unwrap();
            });
        });
    }
    group.finish();
}

/// The neurons of one token, as the columns of a row-major matrix `[d_model, hidden]` and as its rows.
fn neurons(criterion: &mut Criterion) {
    const HIDDEN: usize = 4 * D_MODEL * 4;
    let decomposed_mlp_out = normal(HIDDEN * D_MODEL, 5);
    let resid = normal(D_MODEL, 6);
    let (mut out_neurons, mut out_resid) = (vec![0.0_f32; HIDDEN], [0.0_f32]);
    let strides = [[D_MODEL as isize, 1], [1, HIDDEN as isize]];
    for threads in [1, 2] {
        let context = Context::new(threads).unwrap();
        let options = Options::default().context(&context);
        let mut group = criterion.benchmark_group(format!("neurons, {threads} threads"));
        group.throughput(Throughput::Elements((HIDDEN * D_MODEL) as u64));
        for (name, strides) in ["rows", "columns"].into_iter().zip(&strides) {
            group.bench_function(format!("f32 norm 1 {name}"), |b| {
                b.iter(|| {
                    decomposed_mlp(
                        &Tensor::new(&resid, &[D_MODEL]).unwrap(),
                        &Tensor::new(&resid, &[D_MODEL]).unwrap(),
                        &Tensor::strided(&decomposed_mlp_out, 0, &[HIDDEN, D_MODEL], strides).unwrap(),
                        &mut TensorMut::new(&mut out_neurons, &[HIDDEN]).unwrap(),
                        &mut TensorMut::new(&mut out_resid, &[]).unwrap(),
                        &options,
                    )
                    .unwrap();
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1500))
        .without_plots();
    targets = from_memory, from_cache, small_calls, neurons
}
criterion_main!(benches);

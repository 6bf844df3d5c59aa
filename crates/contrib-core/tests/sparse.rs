//! Sparse results and the largest beside all results, which they are part of.

mod common;

use common::calls::{Storage, cases, storage};
use common::{Form, Job, view, view_indices, view_mut};
use contrib_core::{
    Coefficients, Context, Directions, FactoredParts, Group, Norm, Options, Out, Parts, Sparse, Tensor, TopK,
    group_contributions,
};
use contrib_testing::layout::Arrangement;
use contrib_testing::{Kind, Layout, Numbers, Operation, Random, Stored};
use proptest::prelude::*;
use proptest::sample::select;

const NORMS: [f64; 3] = [1.0, 2.0, f64::INFINITY];
const INDICES: [Kind; 2] = [Kind::F32, Kind::F64];

fn options<'a>(norm: f64) -> Options<'a> {
    Options::default().norm(Norm::new(norm).unwrap())
}

fn blank(shape: &[usize]) -> Stored {
    Stored::blank(Kind::F64, Layout::row_major(shape))
}

/// The tensors of sparse results.
struct Found {
    contributions: Stored,
    indices: Stored,
    counts: Stored,
    left_out: Stored,
}

impl Found {
    /// Blank ones: contributions and what is left out of the first kind, indices and counts as large as the other two.
    fn blank(kinds: [Kind; 3], batch: &[usize], room: usize, layout: Arrangement) -> Self {
        let run = [batch, &[room]].concat();
        Found {
            contributions: Stored::blank(kinds[0], layout(&run)),
            indices: Stored::blank(kinds[1], layout(&run)),
            counts: Stored::blank(kinds[2], layout(batch)),
            left_out: Stored::blank(kinds[0], layout(batch)),
        }
    }

    fn out(&mut self, above: f64, summed_axes: usize) -> Out<'_> {
        Out::Sparse(Sparse {
            above,
            contributions: view_mut(&mut self.contributions),
            indices: view_indices(&mut self.indices),
            counts: view_indices(&mut self.counts),
            left_out: view_mut(&mut self.left_out),
            summed_axes,
        })
    }

    fn all(&self) -> [&Stored; 4] {
        [&self.contributions, &self.indices, &self.counts, &self.left_out]
    }

    /// What is wrong with the results of a batch item, whose contributions are `all`, in the order of their indices.
    fn error(&self, item: usize, all: &[f64], above: f64) -> Result<(), String> {
        let room = *self.contributions.layout.shape.last().unwrap();
        let mut greater: Vec<usize> = (0..all.len()).filter(|&part| all[part] > above).collect();
        let count = greater.len();
        // The sort leaves equal ones in order.
        greater.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
        greater.truncate(room);
        greater.sort_unstable();
        let rest = (0..all.len()).filter(|part| greater.binary_search(part).is_err());
        let left_out: f64 = rest.map(|part| all[part]).sum();

        let or = |slot: usize, of: &dyn Fn(usize) -> f64| greater.get(slot).map_or(0.0, |&part| of(part));
        let expected: Vec<f64> = (0..room).map(|slot| or(slot, &|part| all[part])).collect();
        let expected = Numbers::of_f64(self.contributions.kind(), &expected);
        let expected: Vec<u64> = (0..room).map(|slot| expected.bits(slot)).collect();
        let found = &self.contributions.bits()[item * room..][..room];
        let same = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            if found == expected { Ok(()) } else { Err(format!("{what}: {found}, expected {expected}")) }
        };
        same("contributions", &found, &expected)?;
        let expected: Vec<i64> = (0..room).map(|slot| greater.get(slot).map_or(-1, |&part| part as i64)).collect();
        same("indices", &&self.indices.integers()[item * room..][..room], &expected)?;
        same("count", &self.counts.integers()[item], &count)?;
        let found = self.left_out.to_f64()[item];
        // A rounding of the sum for each number at most, and of the result.
        let allowed = self.left_out.kind().rounding(left_out) + all.len() as f64 * f64::EPSILON * left_out;
        if found.is_nan() == left_out.is_nan() && (found.is_nan() || (found - left_out).abs() <= allowed) {
            Ok(())
        } else {
            Err(format!("left out: {found}, expected {left_out}"))
        }
    }

    #[track_caller]
    fn check(&self, item: usize, all: &[f64], above: f64, name: &str) {
        if let Err(error) = self.error(item, all, above) {
            panic!("{name}, item {item}: {error}");
        }
    }
}

/// Numbers to compare the contributions of a batch item with: all, none and some of them are greater, and some are equal.
fn thresholds(all: &[f64]) -> Vec<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let some = [0, sorted.len() / 2, sorted.len().saturating_sub(2), sorted.len().saturating_sub(1)];
    let some = some.into_iter().filter_map(|number| sorted.get(number).copied());
    [-1.0, 0.0, 1.5].into_iter().chain(some).collect()
}

/// Room for none, one, fewer than are greater, as many, and more, also than there are parts.
fn rooms(all: &[f64], above: f64) -> Vec<usize> {
    let count = all.iter().filter(|&&number| number > above).count();
    let mut rooms = vec![0, 1, count / 2, count.saturating_sub(1), count, count + 1, all.len() + 3];
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

/// A dense group and two factored ones with several part axes, of three wholes.
struct Groups {
    whole: Stored,
    coefficients: Stored,
    directions: Stored,
    projection: Stored,
    values: Stored,
    dense: Stored,
}

/// The part axes of the groups.
const PARTS: [&[usize]; 3] = [&[2, 5, 4], &[2, 5, 4], &[5, 6]];

impl Groups {
    fn new(kind: Kind, random: &mut Random) -> Self {
        let mut stored = |shape: &[usize]| Stored::from_fn(kind, Layout::scrambled(shape), |_| random.normal());
        Groups {
            whole: stored(&[3, 10]),
            coefficients: stored(&[2, 5, 4, 3]),
            directions: stored(&[2, 5, 4, 1, 10]),
            values: stored(&[2, 5, 4, 1, 3]),
            projection: stored(&[2, 1, 1, 3, 10]),
            dense: stored(&[5, 6, 3, 10]),
        }
    }

    fn run(&self, outs: [Out<'_>; 3], options: &Options<'_>) {
        let factored = |directions| {
            let coefficients = view(&self.coefficients).into();
            Parts::Factored(FactoredParts { coefficients, directions, scale: None, leave_out_zeros: false })
        };
        let (values, projection) = (view(&self.values), view(&self.projection));
        let parts = [
            factored(Directions::Vectors(view(&self.directions))),
            factored(Directions::Projected { values, projection, prepared: None }),
            Parts::Dense(view(&self.dense)),
        ];
        let mut groups: Vec<Group<'_>> = parts.into_iter().zip(outs).map(|(parts, out)| Group { parts, out }).collect();
        group_contributions(&view(&self.whole), &mut groups, options).unwrap();
    }

    /// The sums over so many part axes, or all, for each batch item of each group.
    fn sums(&self, summed_axes: usize, options: &Options<'_>) -> [Vec<Vec<f64>>; 3] {
        let kept = PARTS.map(|axes| &axes[summed_axes.min(axes.len())..]);
        let mut outs = kept.map(|axes| blank(&[axes, &[3]].concat()));
        self.run(outs.each_mut().map(|out| Out::Sums(view_mut(out))), options);
        outs.map(|out| (0..3).map(|item| out.to_f64().into_iter().skip(item).step_by(3).collect()).collect())
    }
}

#[test]
fn sparse_results_of_any_group_are_those_of_all_that_are_greater() {
    let random = &mut Random::new(41);
    for kind in [Kind::F32, Kind::F64] {
        let groups = Groups::new(kind, random);
        for norm in NORMS {
            for threshold in [0.0, 0.01] {
                let options = options(norm).threshold(threshold);
                for summed_axes in 0..=3 {
                    let all = groups.sums(summed_axes, &options);
                    for above in thresholds(&all[0][1]).into_iter().chain(thresholds(&all[2][0])) {
                        for room in rooms(&all[0][1], above) {
                            let kinds =
                                [Kind::ALL[random.below(4)], INDICES[random.below(2)], INDICES[random.below(2)]];
                            let mut found = PARTS.map(|_| Found::blank(kinds, &[3], room, Layout::scrambled));
                            let [first, second, third] = &mut found;
                            let outs = [
                                first.out(above, summed_axes),
                                second.out(above, summed_axes),
                                third.out(above, summed_axes.min(2)),
                            ];
                            groups.run(outs, &options);
                            let name = format!("{kind:?}, norm {norm}, {summed_axes} axes, above {above}, room {room}");
                            for (number, (found, all)) in found.iter().zip(&all).enumerate() {
                                let name = format!("{name}, group {number}");
                                assert!(found.all().into_iter().all(Stored::is_untouched_around), "{name}");
                                (0..3).for_each(|item| found.check(item, &all[item], above, &name));
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_in_sparse_results_and_what_is_left_out_sum_to_1() {
    let groups = Groups::new(Kind::F32, &mut Random::new(42));
    for norm in NORMS {
        for (above, room) in [(0.01, 99), (0.01, 2), (1.0, 0)] {
            let mut found = PARTS.map(|_| Found::blank([Kind::F64; 3], &[3], room, Layout::row_major));
            groups.run(found.each_mut().map(|found| found.out(above, 0)), &options(norm));
            for item in 0..3 {
                let of = |found: &Found| {
                    found.contributions.to_f64()[item * room..][..room].iter().sum::<f64>()
                        + found.left_out.to_f64()[item]
                };
                let sum: f64 = found.iter().map(of).sum();
                assert!((sum - 1.0).abs() < 1e-12, "norm {norm}, above {above}, room {room}: {sum}");
            }
        }
    }
}

/// Calls of attention with one head a key-value head, with two, and with one key-value head; half of the pattern is 0.
fn attention(kind: Kind, random: &mut Random) -> Vec<Job> {
    let mut jobs = Vec::new();
    for [batch, queries, keys, heads, kv_heads] in [[2, 3, 5, 4, 2], [1, 2, 7, 3, 3], [2, 2, 70, 6, 1], [1, 4, 3, 1, 1]]
    {
        let resid = &[batch, queries, 12][..];
        let pattern = &[batch, heads, queries, keys][..];
        let shapes = [resid, resid, pattern, &[batch, keys, kv_heads, 5], &[heads, 5, 12]];
        let mut job = Job::random(Operation::AttentionFactored, kind, &shapes, random);
        let stored = job.input_mut("pattern");
        *stored =
            Stored::from_fn(kind, stored.layout.clone(), |_| if random.below(2) == 0 { 0.0 } else { random.unit() });
        jobs.push(job.with_value_output());
        jobs.push(job);
    }
    jobs
}

/// All results of a call with factored parts, or their sums over heads, for each batch item.
fn all_of(job: &Job, form: Form, options: &Options<'_>) -> Vec<Vec<f64>> {
    let [mut out, mut resid] = job.clone().with_form(form).outputs(Kind::F64, Layout::row_major);
    let items = resid.layout.count();
    job.run_factored(form.out(&mut out), view_mut(&mut resid), options).unwrap();
    let parts = out.layout.count() / items;
    out.to_f64().chunks(parts).map(<[f64]>::to_vec).collect()
}

/// Sees that sparse results of a call, with all or with so many axes summed, are those of `all` that are greater.
fn check_operation(job: &Job, all: &[Vec<f64>], summed_axes: usize, options: &Options<'_>, random: &mut Random) {
    for above in thresholds(&all[all.len() - 1]) {
        for room in rooms(&all[0], above) {
            let kinds = [Kind::ALL[random.below(4)], INDICES[random.below(2)], INDICES[random.below(2)]];
            let [_, mut resid] = job.outputs(Kind::F64, Layout::scrambled);
            let mut found = Found::blank(kinds, &resid.layout.shape, room, Layout::scrambled);
            job.run_factored(found.out(above, summed_axes), view_mut(&mut resid), options).unwrap();
            let name = format!("{:?} {summed_axes}, above {above}, room {room}", job.operation);
            assert!(found.all().into_iter().all(Stored::is_untouched_around), "{name}");
            for (item, all) in all.iter().enumerate() {
                found.check(item, all, above, &name);
            }
        }
    }
}

#[test]
fn sparse_attention_counts_heads_within_keys_and_sums_over_heads_count_keys() {
    let random = &mut Random::new(43);
    for kind in [Kind::F32, Kind::F64] {
        for job in attention(kind, random) {
            for norm in NORMS {
                for threshold in [0.0, 0.02] {
                    let options = options(norm).threshold(threshold);
                    check_operation(&job, &all_of(&job, Form::Each, &options), 0, &options, random);
                    check_operation(&job, &all_of(&job, Form::Sums, &options), 1, &options, random);
                }
            }
        }
    }
}

#[test]
fn sparse_neurons_are_those_of_all_that_are_greater() {
    let random = &mut Random::new(44);
    for kind in [Kind::F32, Kind::F64] {
        for shapes in [[&[2, 3, 9][..], &[2, 3, 9], &[2, 3, 200], &[200, 9]], [&[9], &[9], &[17], &[17, 9]]] {
            let job = Job::random(Operation::MlpNeurons, kind, &shapes, random);
            for norm in NORMS {
                let options = options(norm);
                check_operation(&job, &all_of(&job, Form::Each, &options), 0, &options, random);
            }
        }
    }
}

#[test]
fn the_strongest_of_attention_have_the_indices_of_sparse_attention() {
    let random = &mut Random::new(45);
    for job in attention(Kind::F32, random) {
        for norm in NORMS {
            for (form, summed_axes) in [(Form::Each, 0), (Form::Sums, 1)] {
                let all = all_of(&job, form, &options(norm));
                for k in [0, 1, all[0].len() / 2, all[0].len()] {
                    let [_, mut resid] = job.outputs(Kind::F64, Layout::row_major);
                    let shape = [&resid.layout.shape[..], &[k]].concat();
                    let (mut out, mut indices) = (blank(&shape), Stored::blank(Kind::F32, Layout::scrambled(&shape)));
                    let (contributions, to_indices) = (view_mut(&mut out), view_indices(&mut indices));
                    let top_k = Out::TopK(TopK { contributions, indices: to_indices, summed_axes });
                    job.run_factored(top_k, view_mut(&mut resid), &options(norm)).unwrap();
                    for (item, all) in all.iter().enumerate() {
                        let mut order: Vec<usize> = (0..all.len()).collect();
                        order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
                        let expected: Vec<i64> = order[..k].iter().map(|&part| part as i64).collect();
                        assert_eq!(indices.integers()[item * k..][..k], expected, "norm {norm}, {form:?}, {k}");
                        let expected: Vec<f64> = order[..k].iter().map(|&part| all[part]).collect();
                        assert_eq!(out.to_f64()[item * k..][..k], expected, "norm {norm}, {form:?}, {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn of_equal_contributions_those_with_the_first_indices_stay() {
    // All of the pattern is 0: every part is the zero vector.
    let resid = &[1, 1, 6][..];
    let shapes = [resid, resid, &[1, 4, 1, 90], &[1, 90, 2, 3], &[4, 3, 6]];
    let mut job = Job::random(Operation::AttentionFactored, Kind::F32, &shapes, &mut Random::new(46));
    let stored = job.input_mut("pattern");
    *stored = Stored::from_fn(Kind::F32, stored.layout.clone(), |_| 0.0);
    for norm in NORMS {
        for (form, summed_axes, parts) in [(Form::Each, 0, 360), (Form::Sums, 1, 90)] {
            let all = &all_of(&job, form, &options(norm))[0];
            assert!(all.iter().all(|&number| number == all[0]), "all are equal");
            for room in [1, 5, 33, 89] {
                let mut found = Found::blank([Kind::F64; 3], &[1, 1], room, Layout::row_major);
                let mut resid = blank(&[1, 1]);
                job.run_factored(found.out(0.0, summed_axes), view_mut(&mut resid), &options(norm)).unwrap();
                let first: Vec<i64> = (0..room as i64).collect();
                assert_eq!(found.indices.integers(), first, "norm {norm}, {form:?}");
                assert_eq!(found.counts.integers(), [parts], "norm {norm}, {form:?}");
                let left_out = (parts as usize - room) as f64 * all[0];
                assert!((found.left_out.to_f64()[0] - left_out).abs() < 1e-14, "norm {norm}, {form:?}");
            }
        }
    }
}

#[test]
fn where_contributions_are_nan_none_is_greater_and_what_is_left_out_is_nan() {
    let random = &mut Random::new(47);
    for input in ["coefficients", "dense", "whole"] {
        let mut groups = Groups::new(Kind::F32, random);
        let stored = match input {
            "coefficients" => &mut groups.coefficients,
            "dense" => &mut groups.dense,
            _ => &mut groups.whole,
        };
        // An element of the last whole, or of one of its parts.
        let index = *stored.layout.indices().last().unwrap();
        stored.numbers.set(index, f64::NAN);
        for norm in NORMS {
            for threshold in [0.0, 0.01] {
                for summed_axes in 0..=2 {
                    let options = options(norm).threshold(threshold);
                    let all = groups.sums(summed_axes, &options);
                    for above in [f64::NEG_INFINITY, 0.0, 0.02] {
                        let mut found =
                            PARTS.map(|_| Found::blank([Kind::F16, Kind::F32, Kind::F64], &[3], 4, Layout::padded));
                        groups.run(found.each_mut().map(|found| found.out(above, summed_axes)), &options);
                        for (found, all) in found.iter().zip(&all) {
                            let name = format!("NaN in {input}, norm {norm}, {summed_axes} axes, above {above}");
                            assert!(all[2].iter().all(|number| number.is_nan()) && !all[1][0].is_nan(), "{name}");
                            (0..3).for_each(|item| found.check(item, &all[item], above, &name));
                            assert!(found.left_out.to_f64()[2].is_nan(), "{name}");
                            assert_eq!(found.counts.integers()[2], 0, "{name}");
                        }
                    }
                }
            }
        }
    }
}

/// Runs a group of no parts, with or without another group, whose results go to `out`.
fn run_of_no_parts(parts: &[usize], with_another: bool, out: Out<'_>) {
    let whole = Stored::from_fn(Kind::F32, Layout::row_major(&[2, 3]), |_| 1.0);
    let mut other = blank(&[2]);
    let coefficients = [parts, &[2]].concat();
    let directions = [parts, &[1, 3]].concat();
    let factored = FactoredParts {
        coefficients: Coefficients::Given(Tensor::new::<f32>(&[], &coefficients).unwrap()),
        directions: Directions::Vectors(Tensor::new::<f32>(&[], &directions).unwrap()),
        scale: None,
        leave_out_zeros: false,
    };
    let mut groups = vec![Group { parts: Parts::Factored(factored), out }];
    if with_another {
        groups.push(Group::dense(view(&whole), view_mut(&mut other)));
    }
    group_contributions(&view(&whole), &mut groups, &Options::default()).unwrap();
}

#[test]
fn of_no_parts_none_is_greater_and_sums_over_no_parts_are_0() {
    for with_another in [true, false] {
        for (parts, summed_axes, all) in [
            (&[0][..], 0, &[][..]),
            (&[4, 0], 0, &[]),
            (&[4, 0], 1, &[]),
            (&[0, 4], 1, &[0.0; 4]),
            (&[3, 0], 2, &[0.0]),
        ] {
            for above in [-0.5, 0.0, 0.5] {
                for room in [0, 2, 6] {
                    let mut found = Found::blank([Kind::F64, Kind::F32, Kind::F64], &[2], room, Layout::scrambled);
                    run_of_no_parts(parts, with_another, found.out(above, summed_axes));
                    let name = format!("{parts:?}, {summed_axes} axes, above {above}, room {room}, {with_another}");
                    (0..2).for_each(|item| found.check(item, all, above, &name));
                }
            }
        }
        for k in 0..=4 {
            let (mut out, mut indices) = (blank(&[2, k]), blank(&[2, k]));
            let (contributions, to_indices) = (view_mut(&mut out), view_indices(&mut indices));
            let top_k = Out::TopK(TopK { contributions, indices: to_indices, summed_axes: 1 });
            run_of_no_parts(&[0, 4], with_another, top_k);
            assert_eq!(out.to_f64(), vec![0.0; 2 * k]);
            assert_eq!(indices.integers(), (0..2).flat_map(|_| 0..k as i64).collect::<Vec<i64>>());
        }
    }
}

#[test]
fn one_whole_without_batch_axes_and_no_wholes_at_all_are_fine() {
    let random = &mut Random::new(48);
    let mut stored = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| random.normal());
    for batch in [&[][..], &[0], &[1, 1]] {
        let (whole, parts) = (stored(&[batch, &[7]].concat()), stored(&[&[9], batch, &[7]].concat()));
        let mut found = Found::blank([Kind::F64, Kind::F32, Kind::F32], batch, 3, Layout::row_major);
        let mut all = blank(&[&[9], batch].concat());
        let run = |out| {
            let group = Group { parts: Parts::Dense(view(&parts)), out };
            group_contributions(&view(&whole), &mut [group], &Options::default()).unwrap();
        };
        run(found.out(0.1, 0));
        run(Out::Each(view_mut(&mut all)));
        if batch != [0] {
            found.check(0, &all.to_f64(), 0.1, &format!("{batch:?}"));
        }
    }
}

#[test]
fn sparse_results_of_one_whole_whose_parts_threads_share_have_the_same_bits() {
    let contexts = [1, 2, 5].map(|threads| Context::new(threads).unwrap());
    let random = &mut Random::new(49);
    let mut stored = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| random.normal());
    for items in [1, 30] {
        let (whole, parts) = (stored(&[items, 40]), stored(&[4500, items, 40]));
        for (above, room) in [(1.0 / 4500.0, 100), (1.0 / 4500.0, 4500), (0.001, 1000)] {
            let results = contexts.each_ref().map(|context| {
                let mut found = Found::blank([Kind::F64; 3], &[items], room, Layout::row_major);
                let group = Group { parts: Parts::Dense(view(&parts)), out: found.out(above, 0) };
                let options = Options::default().context(context);
                group_contributions(&view(&whole), &mut [group], &options).unwrap();
                found.all().map(Stored::bits)
            });
            assert!(results.iter().all(|result| *result == results[0]), "{items} wholes, above {above}, room {room}");
        }
    }
}

/// A call of one dense or factored group.
#[derive(Clone, Debug)]
struct Call {
    axes: Vec<usize>,
    summed_axes: usize,
    batch: Vec<usize>,
    is_factored: bool,
    /// So many different parts come again and again: with 0, all are different.
    kinds_of_parts: usize,
    norm: f64,
    threshold: f64,
    /// Which of the contributions of the first batch item is compared with, if not a number of its own.
    above: Result<f64, usize>,
    room: usize,
    seed: u64,
    /// Of parts, contributions and what is left out; of indices and counts.
    storages: Vec<Storage>,
    of_integers: Vec<Storage>,
}

fn call() -> impl Strategy<Value = Call> {
    let extent = prop_oneof![1 => Just(0_usize), 10 => 1_usize..6, 3 => 15_usize..19, 1 => 60_usize..70];
    let axes =
        prop::collection::vec(extent, 0..4).prop_filter("not too many", |axes| axes.iter().product::<usize>() <= 2000);
    let shape = (axes, 0_usize..4, prop::collection::vec(0_usize..4, 0..3));
    let above = prop_oneof![
        1 => select(&[-1.0, 0.0, 0.01, 0.1, 2.0, f64::INFINITY][..]).prop_map(Ok),
        2 => any::<usize>().prop_map(Err),
    ];
    let room = prop_oneof![5 => 0_usize..8, 2 => 8_usize..300];
    let numbers = (select(&NORMS[..]), select(&[0.0, -1.0, 1e-3, 0.05][..]), above, room);
    let storages = prop::collection::vec(storage(select(&Kind::ALL[..])), 3);
    let of_integers = prop::collection::vec(storage(select(&INDICES[..])), 2);
    (shape, any::<bool>(), 0_usize..5, numbers, any::<u64>(), storages, of_integers).prop_map(
        |((axes, summed, batch), is_factored, kinds, (norm, threshold, above, room), seed, storages, of_integers)| {
            Call {
                summed_axes: summed.min(axes.len()),
                axes,
                batch,
                is_factored,
                kinds_of_parts: kinds,
                norm,
                threshold,
                above,
                room,
                seed,
                storages,
                of_integers,
            }
        },
    )
}

const LEN: usize = 5;

fn check(call: &Call) -> Result<(), TestCaseError> {
    let random = &mut Random::new(call.seed);
    let whole = Stored::from_fn(Kind::F32, Layout::row_major(&[&call.batch[..], &[LEN]].concat()), |_| random.normal());
    let items: usize = call.batch.iter().product();
    let shape = [&call.axes[..], &call.batch].concat();
    let parts: usize = call.axes.iter().product();
    let per_part = if call.is_factored { 1 } else { LEN };
    let numbers: Vec<f64> = (0..parts.max(1) * items * per_part).map(|_| random.normal()).collect();
    let value = |number: usize| {
        let (part, rest) = (number / (items * per_part), number % (items * per_part));
        let part = if call.kinds_of_parts == 0 { part } else { part % call.kinds_of_parts };
        numbers[part % parts.max(1) * items * per_part + rest]
    };
    let layout = |shape: &[usize]| call.storages[0].layout(shape, false);
    let kind = call.storages[0].kind;
    let direction = Stored::from_fn(kind, Layout::row_major(&[&vec![1; shape.len()][..], &[LEN]].concat()), |_| 0.7);
    let given = if call.is_factored {
        Stored::from_fn(kind, layout(&shape), value)
    } else {
        let shape = [&shape[..], &[LEN]].concat();
        Stored::from_fn(kind, layout(&shape), value)
    };
    let run = |out: Out<'_>| {
        let parts = if call.is_factored {
            Parts::Factored(FactoredParts {
                coefficients: view(&given).into(),
                directions: Directions::Vectors(view(&direction)),
                scale: None,
                leave_out_zeros: false,
            })
        } else {
            Parts::Dense(view(&given))
        };
        let mut of_whole = blank(&call.batch);
        let mut groups = [Group { parts, out }, Group::dense(view(&whole), view_mut(&mut of_whole))];
        group_contributions(&view(&whole), &mut groups, &options(call.norm).threshold(call.threshold)).unwrap();
    };
    let kept = &call.axes[call.summed_axes..];
    let mut sums = blank(&[kept, &call.batch].concat());
    run(Out::Sums(view_mut(&mut sums)));
    let sums = sums.to_f64();
    let all = |item: usize| sums.iter().copied().skip(item).step_by(items).collect::<Vec<f64>>();
    let above = match call.above {
        Ok(above) => above,
        Err(_) if sums.is_empty() => 0.0,
        Err(number) => all(0)[number % (sums.len() / items)],
    };
    prop_assume!(!above.is_nan());

    let run_shape = [&call.batch[..], &[call.room]].concat();
    let stored = |storage: &Storage, shape: &[usize]| Stored::blank(storage.kind, storage.layout(shape, false));
    let mut found = Found {
        contributions: stored(&call.storages[1], &run_shape),
        indices: stored(&call.of_integers[0], &run_shape),
        counts: stored(&call.of_integers[1], &call.batch),
        left_out: stored(&call.storages[2], &call.batch),
    };
    run(found.out(above, call.summed_axes));
    prop_assert!(found.all().into_iter().all(Stored::is_untouched_around));
    for item in 0..items {
        let result = found.error(item, &all(item), above);
        prop_assert!(result.is_ok(), "above {above}, item {item}: {result:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn any_sparse_results_are_those_of_all_that_are_greater(call in call()) {
        check(&call)?;
    }
}

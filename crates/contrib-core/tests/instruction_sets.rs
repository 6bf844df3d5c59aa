//! Every instruction set that this machine has gives the same bits, and they are the bits that every other machine gives.

mod common;

use common::{Form, Job, Scoring};
use contrib_core::{Context, InstructionSet};
use contrib_testing::{Arrangement, Kind, Layout, Operation, Random, Stored};

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// A context for each instruction set of this machine.
fn contexts() -> Vec<Context> {
    let sets = InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best());
    let contexts: Vec<_> = sets.map(|set| Context::new(1).unwrap().at_most(set)).collect();
    let names: Vec<_> = contexts.iter().map(|context| context.instruction_set().name()).collect();
    println!("instruction sets: {}", names.join(", "));
    contexts
}

/// Calls with vectors of lengths around those of a vector, all totals, a piece and a packed piece.
fn jobs() -> Vec<Job> {
    let mut random = Random::new(3);
    let mut jobs = Vec::new();
    for kind in Kind::ALL {
        for len in [1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 255, 256, 257, 1023, 1024, 1025, 2100] {
            jobs.push(Job::random(Operation::Contributions, kind, &[&[2, len], &[21, 2, len]], &mut random));
        }
        let shapes: [&[usize]; 3] = [&[1, 3, 70], &[1, 3, 70], &[1, 3, 5, 6, 70]];
        jobs.push(Job::random(Operation::Attention, kind, &shapes, &mut random));
    }
    jobs
}

/// Calls with factored parts: with vectors and values of lengths around those of a vector, all that is added in `f32`, and
/// a block; of parts that are small beside their whole, about as large, and larger; with zeros among the coefficients.
fn factored_jobs() -> Vec<Job> {
    // Numbers of its own, so that what was pinned before has the numbers that it had.
    let (mut random, mut random_of_scores) = (Random::new(5), Random::new(6));
    let mut jobs = Vec::new();
    for kind in Kind::ALL {
        for (number, len) in [1, 15, 16, 17, 33, 256, 257, 300, 1040].into_iter().enumerate() {
            let size = [0.01, 0.5, 1.0, 5.0][number % 4];
            let [queries, keys, d_head] = [1 + number % 6, 3 + number, [1, 15, 31, 32, 33, 64, 65][number % 7]];
            let resid = &[2, queries, len][..];
            let shapes = [resid, resid, &[2, 4, queries, keys], &[2, keys, 2, d_head], &[4, d_head, len]];
            let mut heads = Job::random(Operation::AttentionFactored, kind, &shapes, &mut random);
            let resid = &[queries, len][..];
            let shapes = [resid, resid, &[queries, 5 * keys], &[5 * keys, len]];
            let mut neurons = Job::random(Operation::MlpNeurons, kind, &shapes, &mut random);
            // Directions near the whole's, so that parts come nearer to it.
            let whole = neurons.input("resid_post").to_f64();
            towards(&mut neurons, "w_out", &whole[..len]);
            let whole = heads.input("resid_mid").to_f64();
            towards(&mut heads, "w_o", &whole[..len]);
            for (job, name) in [(&mut heads, "pattern"), (&mut neurons, "activations")] {
                let stored = job.input_mut(name);
                for index in stored.layout.indices() {
                    let number = 3.0 * stored.numbers.get(index);
                    stored.numbers.set(index, if number < -0.8 { 0.0 } else { size * number.abs() });
                }
            }
            for job in queries_and_keys_jobs(&heads, 4 + number, &mut random_of_scores) {
                jobs.push(job);
            }
            jobs.push(heads.with_value_output());
            jobs.push(heads.clone().with_form(Form::Sums));
            jobs.push(heads);
            jobs.push(neurons.clone().with_form(Form::TopK(4)));
            jobs.push(neurons);
        }
    }
    jobs
}

/// The same heads with the pattern that queries and keys of some length make: causal, and with everything that a score can be
/// made of.
fn queries_and_keys_jobs(heads: &Job, d: usize, random: &mut Random) -> [Job; 2] {
    let [_, n_heads, queries, keys] = heads.extents_of_heads();
    let kind = heads.input("pattern").kind();
    let causal = Scoring { causal: true, ..Scoring::default() };
    let with_all = Scoring {
        score_scale: Some(0.4),
        soft_cap: Some(3.0),
        window: Some(keys / 2 + 1),
        first_query: Some(keys as i64 / 2),
        ..causal
    };
    let [causal, with_all] = [causal, with_all].map(|scoring| heads.with_queries_and_keys(d, scoring, random));
    let mut stored = |shape: &[usize]| {
        Stored::from_fn(kind, Layout::row_major(shape), |_| {
            let number = random.normal();
            if number < -1.5 { f64::NEG_INFINITY } else { 0.5 * number }
        })
    };
    let mask = stored(&[1, n_heads, queries, keys]);
    let finite =
        |stored: &Stored| Stored::from_fn(kind, stored.layout.clone(), |number| stored.to_f64()[number].max(-1.0));
    let slopes = finite(&stored(&[n_heads]));
    let sinks = finite(&stored(&[n_heads]));
    [causal, with_all.with("mask", mask).with("slopes", slopes).with("sinks", sinks)]
}

/// Adds a vector to each of an input.
fn towards(job: &mut Job, name: &str, vector: &[f64]) {
    let stored = job.input_mut(name);
    for (number, index) in stored.layout.indices().into_iter().enumerate() {
        stored.numbers.set(index, stored.numbers.get(index) + vector[number % vector.len()]);
    }
}

#[test]
fn all_instruction_sets_give_the_same_bits_for_any_layout() {
    let contexts = contexts();
    // Vectors contiguous; parts side by side; neither.
    let layouts: [Arrangement; 3] = [Layout::row_major, Layout::column_major, Layout::padded];
    for job in jobs().into_iter().chain(factored_jobs()) {
        for norm in NORMS {
            let job = job.with_norm(norm);
            let expected = job.bits(None);
            for layout in layouts {
                let job = job.laid_out(layout);
                for context in &contexts {
                    let (set, shape) = (context.instruction_set().name(), &job.inputs[1].1.layout);
                    assert_eq!(job.bits(Some(context)), expected, "norm {norm}, {set}, {shape:?}");
                }
            }
        }
    }
}

/// The bits of all results, in one number (FNV-1a).
fn hash(results: impl Iterator<Item = u64>) -> u64 {
    let bytes = results.flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name of a case of [`PINNED`]: of calls of the same operation, form and element type.
fn name(job: &Job) -> String {
    let operation = Operation::ALL.iter().find(|(_, operation)| *operation == job.operation).unwrap().0;
    let kind = job.inputs[0].1.kind().name();
    let variant = match job.form {
        Form::Each if job.get("sinks").is_some() => " of queries and keys with all else",
        Form::Each if job.get("queries").is_some() => " of queries and keys",
        Form::Each if job.inputs.iter().any(|(name, _)| *name == "value_output") => " of value_output",
        Form::Each => "",
        Form::Sums => " as sums",
        Form::TopK(_) => ", top k",
        Form::Sparse(..) => ", sparse",
    };
    format!("{operation}{variant}, {kind}")
}

/// For each case the hashes of its results for each of [`NORMS`], and its name.
const PINNED: &str = "\
8654e3c5882af8cb b851b85a95db3425 352119e619f46d3e 47f3b2f71fee86f6 9ed135a2c2b55535 contributions, float32
7d795e1e612f7c81 8c4601a8307261f0 e4e911ecee37b622 4aec1d080966161a 2cf1b919c4854c8e attention, float32
ec68ef37b5e8271f 044c1623e27ca0f8 bbdb2789dc03ec19 cd70b212ce522d77 435627782dc77191 contributions, float64
63a889c276bf1b9c 485052977eab501e f27c9041f5e1f7ee 3d527caf176eade3 1e2719da516fbef2 attention, float64
3d10181fb96bfa71 bf3662c43c8b0b7d 07ac7d4804b8732d 1d78f736ddd9685c 46d5716473c1034b contributions, float16
a654428f8eaef9c5 d667d23a99cce12d 096b2a84c2a9e42a 0346224225035a1f af33aef9bfac15d4 attention, float16
822e5850e4105ef3 0a7839e1d06a518f dd3c3208e07d387f ff5025169c93335c 20c00e417d413ce7 contributions, bfloat16
b03ff7f281e40db7 579c1c19562e04ee 53a388af787d70f1 08f6ff264896f8b9 1d9fe3130b467ae2 attention, bfloat16
57eecc4e2e2ade4e ac5d6ef40c5349d0 e81f824021a9f798 c8dd5be261ee3f99 2e0e6d970494101e attention_factored of value_output, float32
68aa62a743b7c038 444c7909cfb9b65e 966cf5d34e9a7f14 3b2da14bb1bb6fb6 5dd3d8a6a1f998e0 attention_factored as sums, float32
f6322dfe630f91a9 fe59a2eef1c5c06f 5025937c77aaf23a 036007282106ba9b 8580ea3ed3ed7383 attention_factored, float32
15c987e67b624266 441c132ad78aec81 804bc0993edf596c 8435c3dc4c5e6ef3 5eb4993a80990e9a mlp_neurons, top k, float32
437dce31efd1538e 49ae3ccaac81eab0 20500a162872a4e5 2c5fb8ad391e0bc3 1b2d7257e8473b69 mlp_neurons, float32
5bd0b85f2b72744e f47bb7b4791be5c6 16a71edf2bc4fb8d 25b1d6207bcb83ac adad31c6f8f0071c attention_factored of value_output, float64
4067024ee9a02c49 bd56cc12705d508e 679096951bfbeb59 0aa9696346140a5f da1eeed7676dcffb attention_factored as sums, float64
3c6ba0cb68f4d56e 242c5d622f47b727 16a71edf2bc4fb8d 25b1d6207bcb83ac adad31c6f8f0071c attention_factored, float64
ddb472d1c30452f0 519b21821b4d05a2 e6c6ce79dbbd3716 46f8a42210ca6d20 d5fb6bc0023bb63d mlp_neurons, top k, float64
59a72580f87b474b 647237ff6e540663 ab3343005bfcb1d2 0085f2f95c3b5cfc 98b1ea976f68b7c9 mlp_neurons, float64
d3d91d41f6ec1335 0755ad41af4608bd 26ac0a84227767b5 3d54b5b80161a6b4 85f8643c47052adb attention_factored of value_output, float16
019bfe736869333c 2c1564c98aa31982 b0dc4cc8e85698d7 2483bed82d469a8c 0553c91a618d5ba7 attention_factored as sums, float16
a0c767d3a27b4bcf bb7064d2b57eb973 7b00ea3cdf44e0a8 42a32aa1dc31281b 8a6cc3c5c94c26e3 attention_factored, float16
223ade2722ebf1f7 b7d932c1d7dfc740 b06debf2f440c669 dbbfa66fe46ec784 ccf084425d9f6587 mlp_neurons, top k, float16
1460f7827e0cbc1e 932af05d851b3f83 909e1dd90e64f057 01cf2845b1bd4b15 20ba26c9d14116d3 mlp_neurons, float16
81de396ccad301c8 46207c16256cb285 50388990e7c723f4 5b1fc45ee778508e 1649e3546648adb2 attention_factored of value_output, bfloat16
d2f6cad086fadb9d 4529998d98c168dc 14aa7261dc3a4ec7 a6b15c785273f9c4 dc94151a54e2821b attention_factored as sums, bfloat16
b2cc2c16eb894b57 e4e8dd1f2c5a4ca1 d6f334799a58e11f 8cb1f506788915c0 d7ecb73484553745 attention_factored, bfloat16
caa287fd3cca03d7 6c291ca977cbac0a 6c14120ae946b899 a5791f79d9ff5ee7 28cc26df7ee94b51 mlp_neurons, top k, bfloat16
08584fe7a5aae6a1 9c0bf38c0d67007f 73f9bd3a0297823c 7080282a7e1d893b 9c301a494110cdb7 mlp_neurons, bfloat16
";

#[test]
fn every_machine_and_version_gives_these_bits() {
    let mut cases: Vec<(String, Vec<Job>)> = Vec::new();
    for job in jobs().into_iter().chain(factored_jobs()) {
        let name = name(&job);
        match cases.iter_mut().find(|case| case.0 == name) {
            Some(case) => case.1.push(job),
            None => cases.push((name, vec![job])),
        }
    }
    let mut changed = Vec::new();
    let mut line = |(name, jobs): &(String, Vec<Job>)| {
        let pinned = PINNED.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap_or_default();
        let mut pinned = pinned.split(' ');
        let hashes = NORMS.map(|norm| {
            let results = jobs.iter().flat_map(|job| job.with_norm(norm).bits(None)).flatten();
            let hash = format!("{:016x}", hash(results));
            if pinned.next() != Some(&hash) {
                changed.push(format!("{name}, norm {norm}"));
            }
            hash
        });
        format!("{} {name}\n", hashes.join(" "))
    };
    let found: String = cases.iter().map(&mut line).collect();
    assert!(
        found == PINNED,
        "results changed, which is a change for users, to be named in CHANGELOG.md: {changed:#?}\nAll hashes:\n{found}"
    );
}

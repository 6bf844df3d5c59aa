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
69ff0dd26299dbab a2146873dd55af9c f744038cb0304ba9 126020108f46e85d c38a11fa59faf23b contributions, float32
e2bfc22e0318f9d9 264b7741f4f9d27a 4b1bad39e567a4c8 bfa1dd651b4dc69f 5713c2bf1e5aa33f attention, float32
46f8d27db102b4d1 06f241fc472244f5 c149813d99e9c5c6 4f2d7f76d716c2ec a9e99b1ad4317e0c contributions, float64
65c525a1e9e27e57 b01735b866bd985c 1d71b8def70199c5 a8f57bacc46e44d9 5ec6f5a746ca2850 attention, float64
a9f7c015cfac20d0 8d78a66c46582feb ecdb96124e17dfdb e0e6f2adc47a07f3 245c47c640bebfd1 contributions, float16
18651296c00c1c5e 6acd1fe9ebc2cfae 597ec9a82c7f3905 867c79ce8e22696a f4e0832913ed1ddf attention, float16
a765195037973d75 1f3d37c2e616b23b 39f7189d845edd13 65cb47c951133438 5bf8bef6eaf2a957 contributions, bfloat16
4b7ece9c3fff9c75 f184f20d728a1419 93b44b05626e7035 401acb043b608213 c4e6a1bab5f7303c attention, bfloat16
6f24cbd2be63a629 3e462a877600c2ad a3ab42ea3b1a8db3 b3eb08c52b97c684 ae9f2918b270213a attention_factored of queries and keys, float32
33c11de77d2f1535 7e5b3a10d72276c0 4e8abec68ab49294 63a0b27aacde1a78 fc80581d48d6c873 attention_factored of queries and keys with all else, float32
9af3c60b3cde9fe7 132cd0729d2d6e0d 5eab522fc02bebff 5c90daeca5f3c2cc 32b57cb66c6d5736 attention_factored of value_output, float32
0bc244f6b6c17afb 251e5e218d9f62ab 70b21bb5189fa333 e1a31c995f9e98cd ad475c54effdc41d attention_factored as sums, float32
196d3a0a55c4a8d9 b2380cf9ada7fdfd 7cb14d25a4e0f9cc 12b16b0f8c30ef88 9dbc17d8fdc41a80 attention_factored, float32
46bb4d898a99ce38 df445c1cf5835ce9 c7f4394b3ec1cbb0 296073b03bcdab72 08c06b8e934594f8 mlp_neurons, top k, float32
2c7d297f87542ba0 7e3c48014f464c0f 63a8a12dbfd716d5 8999fd5a90a44fac d47b0b620eb09a68 mlp_neurons, float32
319e9509232d5940 2dd00a13bf974b17 8a4d6ec25f5f26fb f28f6ee7e0f520c1 1aa50a69f621f29c attention_factored of queries and keys, float64
37bbf661a007bcc9 da90d7f09f2909f5 60e49cf6e2c38ce9 b83f9b3401966fc4 aa0ff923e2c3c066 attention_factored of queries and keys with all else, float64
0affff5f358723be 553800239480887f 3a47bab8744f886d 17b3c40acb484713 f4b102cdfdd2f23f attention_factored of value_output, float64
357e517ed0e8c503 d878bdfc899249e6 02a07ae7e25d3fc7 3bbd49a2fca2cdcb 7cd498ab41ead9ea attention_factored as sums, float64
553a00fc08952323 5b48fb189129792b 3a47bab8744f886d 17b3c40acb484713 f4b102cdfdd2f23f attention_factored, float64
170edf2ec3515a5e 33a685e5b5bf906e d02527261a43b535 1431dff68595c281 fbf416a209262259 mlp_neurons, top k, float64
562c9235b13bc1d2 bca5f30c6bfee26a c519c08cd0a2caf9 8d25e204e23c357b 9f7dd0882297f556 mlp_neurons, float64
22b6f88b2f25ccf7 586c9579067342f1 04ebdca9f4f28ad7 3ada45f363b798b1 68b9f1405bc9bb50 attention_factored of queries and keys, float16
c7da3404cb9278ff a6717bb925b912d8 702fb7feea0fdfe6 e9f1d8aaea6c3eb6 7bc418ae72d25f8e attention_factored of queries and keys with all else, float16
7647925886b62e77 89bae8f98c123214 5a3955671c088163 5c760cc49f9f5807 655b919a78957fba attention_factored of value_output, float16
2a7a0e1f1c2a0691 c83d803449410179 aee5a8152397748b 1977efc9e05e6060 d6a16717344441fb attention_factored as sums, float16
bc6cdcadf3f697e0 eef2a4ef6b717258 13187969ec3f261c 8a5984f0ff0fd636 0f230080f1905b62 attention_factored, float16
3eddcae5194aaef2 93f0f7582c8c5260 df0450d85b8aced4 2a5318daacb1bdac eb70979141f56b19 mlp_neurons, top k, float16
de67454e1dc1ae28 e8145ae25547d7cb 1bc4b70213822c73 e335f5981d852d3b e16a078d24d311e0 mlp_neurons, float16
c8274df22255b7db 33ce1ffefb97551a 135862b4694b4fc4 6a6ed8035437a2f2 e71a55447859eaf6 attention_factored of queries and keys, bfloat16
598a9f966181e729 57af31ce914270b4 8dc2011d61229f7e fc4e23c8580183c9 15bb6d8cdcfb0b59 attention_factored of queries and keys with all else, bfloat16
fc1c67608ba50ce5 0770f338d4448609 922cef09035d78f0 f6e4cf73e3681288 bf60c798d5d2e994 attention_factored of value_output, bfloat16
3f6f38b3cfb8128d 41d17eeb2bbcbabf 8f7b53d4199b5cf7 6e22ef433ddc3db4 2cd29be2656d21c2 attention_factored as sums, bfloat16
a3b813da13d5657f 4198a8489c723f69 48a1577eb0ca9955 10c3c81397943129 a5bb935ea5a7f244 attention_factored, bfloat16
67a00ec8270b7589 b9b5d4805e2643ee 0503f9ce85b95c24 af38801e88e1d3e2 ad45c3f80d28b6fd mlp_neurons, top k, bfloat16
7b839ec0198baaac aed7741d7e1e9514 387896daae5a90cf de54adff04af2368 d63f55c7c0fd1677 mlp_neurons, bfloat16
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

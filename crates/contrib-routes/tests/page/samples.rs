//! Writes pages for the test in a browser, and JSON to compare them with, into a folder.
//!
//! ```text
//! cargo run -p contrib-routes --example page-samples -- RECORDING FOLDER
//! ```

use contrib_core::Tensor;
use contrib_routes::{
    Attends, Attention, Error, File, Format, HeadEdges, Labels, Layer, Memory, Moves, Options, Routes, Targets, routes,
    write,
};
use contrib_testing::Random;
use std::path::Path;

/// Texts that would be markup, would hide or move other text, or are no text at all.
const HOSTILE: [&[u8]; 12] = [
    b"</script><script>alert(1)</script>",
    b"<!--<script>",
    b"<img src=http://127.0.0.1:9/stolen onerror=alert(2)>",
    b"\"'`;alert(3)//\\",
    "\u{202E}txet\u{2066}".as_bytes(),
    "שלום".as_bytes(),
    "👩\u{200D}👩\u{200D}👧🏽".as_bytes(),
    b"\xFF\xC3(\xED\xA0\x80",
    b"\0\x01\x1B[31m\x7F\r",
    b"\n\n   \t",
    b"&lt;b&gt;{{routes}}",
    b"=HYPERLINK(\"http://127.0.0.1:9\")",
];

fn save(routes: &Routes, labels: &Labels, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let format = Format::from_path(path).ok_or("no format")?;
    Ok(write(routes, labels, format, &mut std::fs::File::create(path)?)?)
}

/// The routes of a recording: to the last token, and to all.
fn recorded(recording: &str, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = File::open(recording)?;
    let labels = file.labels()?;
    let options = Options { renormalise: Some(0.04), threshold: 0.0, ..Options::default() };
    let last = labels.n_tokens() - 1;
    save(&routes(&mut file, Targets::At(&[last]), &options)?, &labels, &folder.join("one.html"))?;

    let summed = routes(&mut file, Targets::At(&[last]), &Options { heads: HeadEdges::Summed, ..Options::default() })?;
    save(&summed, &labels, &folder.join("summed.html"))?;
    save(&summed, &labels, &folder.join("summed.json"))?;

    let all = routes(&mut file, Targets::All, &Options::default())?;
    save(&all, &labels, &folder.join("all.html"))?;
    for threshold in ["0.04", "0.1", "0.2"] {
        for target in [last, last - 2] {
            let found = all.routes_to(Targets::At(&[target]), threshold.parse()?)?;
            save(&found, &labels, &folder.join(format!("{target}-{threshold}.json")))?;
        }
    }

    let mut hostile = Labels::default();
    for text in HOSTILE {
        hostile.push_token(text)?;
    }
    hostile.set_model(HOSTILE[0])?;
    hostile.set_prompt(format!("<!--<script>{}", "x".repeat(1 << 20)))?;
    hostile.push_next_token(HOSTILE[2], 0.5)?;
    save(&all, &hostile, &folder.join("hostile.html"))
}

const POSITIONS: usize = 2000;
const LAYERS: usize = 12;
const HEADS: usize = 4;
const CHANNELS: usize = 8;
/// The keys to which a head attends.
const KEYS: usize = 5;

/// A random model of one pattern.
struct Long {
    pattern: Vec<f32>,
    value_output: Vec<f32>,
    /// The stream before each layer and after the last.
    resid: Vec<Vec<f32>>,
    resid_mid: Vec<Vec<f32>>,
    mlp_out: Vec<f32>,
}

impl Long {
    fn new() -> Self {
        let mut random = Random::new(1);
        let mut normal = |len: usize| -> Vec<f32> { (0..len).map(|_| random.normal() as f32).collect() };
        let value_output = normal(POSITIONS * HEADS * CHANNELS);
        let mlp_out = normal(POSITIONS * CHANNELS);
        let mut resid = vec![normal(POSITIONS * CHANNELS)];
        let mut pattern = vec![0.0; HEADS * POSITIONS * POSITIONS];
        for (row, of_query) in pattern.chunks_mut(POSITIONS).enumerate() {
            let query = row % POSITIONS;
            for _ in 0..KEYS {
                of_query[random.below(query + 1)] += 1.0 / KEYS as f32;
            }
        }
        let mut resid_mid = Vec::new();
        for layer in 0..LAYERS {
            let mut mid = resid[layer].clone();
            for (row, of_query) in pattern.chunks(POSITIONS).enumerate() {
                let (head, query) = (row / POSITIONS, row % POSITIONS);
                for (key, &weight) in of_query.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                    for channel in 0..CHANNELS {
                        let moved = value_output[(key * HEADS + head) * CHANNELS + channel];
                        mid[query * CHANNELS + channel] += weight * moved;
                    }
                }
            }
            resid.push(mid.iter().zip(&mlp_out).map(|(mid, out)| mid + out).collect());
            resid_mid.push(mid);
        }
        Long { pattern, value_output, resid, resid_mid, mlp_out }
    }

    /// A layer; in parallel blocks, without a stream between attention and MLP.
    fn layer(&self, index: usize, is_parallel: bool) -> Result<Layer<'_>, contrib_core::Error> {
        let stream = |numbers| Tensor::new(numbers, &[POSITIONS, CHANNELS]);
        Ok(Layer {
            resid_pre: stream(&self.resid[index])?,
            resid_mid: if is_parallel { None } else { Some(stream(&self.resid_mid[index])?) },
            resid_post: stream(&self.resid[index + 1])?,
            attention: Attention {
                attends: Attends::Pattern(Tensor::new(&self.pattern, &[HEADS, POSITIONS, POSITIONS])?),
                moves: Moves::ValueOutput(Tensor::new(&self.value_output, &[POSITIONS, HEADS, CHANNELS])?),
                scale: None,
                bias: None,
            },
            mlp_out: stream(&self.mlp_out)?,
            mlp_bias: None,
        })
    }
}

/// Routes to all of 2000 tokens, with more than 300 000 edges.
fn long(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let model = Long::new();
    let layers: Result<_, Error> = (0..LAYERS).map(|index| Ok(model.layer(index, false)?)).collect();
    let options = Options { threshold: 0.005, ..Options::default() };
    let found = routes(&mut Memory::new(layers?)?, Targets::All, &options)?;
    let mut labels = Labels::default();
    for position in 0..POSITIONS {
        labels.push_token(format!(" word{position}"))?;
    }
    println!("{} edges", found.n_edges());
    save(&found, &labels, &folder.join("long.html"))?;
    let one = found.routes_to(Targets::At(&[POSITIONS - 1]), 0.0)?;
    save(&one, &labels, &folder.join("long.json"))?;

    let layers: Result<_, Error> = (0..LAYERS).map(|index| Ok(model.layer(index, true)?)).collect();
    let options = Options { threshold: 0.05, ..Options::default() };
    let parallel = routes(&mut Memory::new(layers?)?, Targets::At(&[POSITIONS - 1]), &options)?;
    save(&parallel, &Labels::default(), &folder.join("parallel.html"))?;
    save(&parallel, &Labels::default(), &folder.join("parallel.json"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [recording, folder] = &arguments[..] else { return Err("expected RECORDING FOLDER".into()) };
    recorded(recording, Path::new(folder))?;
    long(Path::new(folder))
}

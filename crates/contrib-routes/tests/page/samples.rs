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

const HEADS: usize = 4;
const CHANNELS: usize = 8;
/// The keys to which a head attends.
const KEYS: usize = 5;

/// A random model of one pattern.
struct Long {
    n_pos: usize,
    pattern: Vec<f32>,
    value_output: Vec<f32>,
    /// The stream before each layer and after the last.
    resid: Vec<Vec<f32>>,
    resid_mid: Vec<Vec<f32>>,
    mlp_out: Vec<f32>,
}

impl Long {
    fn new(n_pos: usize, n_layers: usize) -> Self {
        let mut random = Random::new(1);
        let mut normal = |len: usize| -> Vec<f32> { (0..len).map(|_| random.normal() as f32).collect() };
        let value_output = normal(n_pos * HEADS * CHANNELS);
        let mlp_out = normal(n_pos * CHANNELS);
        let mut resid = vec![normal(n_pos * CHANNELS)];
        let mut pattern = vec![0.0; HEADS * n_pos * n_pos];
        for (row, of_query) in pattern.chunks_mut(n_pos).enumerate() {
            let query = row % n_pos;
            for _ in 0..KEYS {
                of_query[random.below(query + 1)] += 1.0 / KEYS as f32;
            }
        }
        let mut resid_mid = Vec::new();
        for layer in 0..n_layers {
            let mut mid = resid[layer].clone();
            for (row, of_query) in pattern.chunks(n_pos).enumerate() {
                let (head, query) = (row / n_pos, row % n_pos);
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
        Long { n_pos, pattern, value_output, resid, resid_mid, mlp_out }
    }

    /// All layers; in parallel blocks, without a stream between attention and MLP.
    fn recording(&self, is_parallel: bool) -> Result<Memory<'_>, Error> {
        let layers: Result<_, Error> =
            (0..self.resid_mid.len()).map(|index| Ok(self.layer(index, is_parallel)?)).collect();
        Memory::new(layers?)
    }

    fn layer(&self, index: usize, is_parallel: bool) -> Result<Layer<'_>, contrib_core::Error> {
        let stream = |numbers| Tensor::new(numbers, &[self.n_pos, CHANNELS]);
        Ok(Layer {
            resid_pre: stream(&self.resid[index])?,
            resid_mid: if is_parallel { None } else { Some(stream(&self.resid_mid[index])?) },
            resid_post: stream(&self.resid[index + 1])?,
            attention: Attention {
                attends: Attends::Pattern(Tensor::new(&self.pattern, &[HEADS, self.n_pos, self.n_pos])?),
                moves: Moves::ValueOutput(Tensor::new(&self.value_output, &[self.n_pos, HEADS, CHANNELS])?),
                scale: None,
                bias: None,
            },
            mlp_out: stream(&self.mlp_out)?,
            mlp_bias: None,
        })
    }
}

/// Labels of as many tokens, each with a word of its own.
fn words(n_pos: usize) -> Result<Labels, Error> {
    let mut labels = Labels::default();
    for position in 0..n_pos {
        labels.push_token(format!(" word{position}"))?;
    }
    Ok(labels)
}

/// Routes to all of 2000 tokens, with more than 300 000 edges.
fn long(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (n_pos, last) = (2000, 1999);
    let model = Long::new(n_pos, 12);
    let options = Options { threshold: 0.005, ..Options::default() };
    let found = routes(&mut model.recording(false)?, Targets::All, &options)?;
    println!("{} edges", found.n_edges());
    save(&found, &words(n_pos)?, &folder.join("long.html"))?;
    let one = found.routes_to(Targets::At(&[last]), 0.0)?;
    save(&one, &words(n_pos)?, &folder.join("long.json"))?;

    let options = Options { threshold: 0.05, ..Options::default() };
    let parallel = routes(&mut model.recording(true)?, Targets::At(&[last]), &options)?;
    save(&parallel, &Labels::default(), &folder.join("parallel.html"))?;
    save(&parallel, &Labels::default(), &folder.join("parallel.json"))
}

/// Routes to the last of more tokens than the page shows at first.
fn longer(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let n_pos = 2500;
    let model = Long::new(n_pos, 3);
    let options = Options { threshold: 0.005, ..Options::default() };
    let found = routes(&mut model.recording(false)?, Targets::At(&[n_pos - 1]), &options)?;
    for name in ["longer.html", "longer.json"] {
        save(&found, &words(n_pos)?, &folder.join(name))?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [recording, folder] = &arguments[..] else { return Err("expected RECORDING FOLDER".into()) };
    recorded(recording, Path::new(folder))?;
    long(Path::new(folder))?;
    longer(Path::new(folder))
}

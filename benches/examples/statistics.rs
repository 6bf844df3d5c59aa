//! Measures the statistics of recorded activations, beside those of synthetic ones of the same shape.
//!
//! ```sh
//! cargo run --release -p contrib-benches --example statistics -- recording.safetensors 3 8 15
//! ```
//!
//! The numbers are layers of SmolLM2-135M. Of each the file has, in f32 or f16, `resid_pre.L`, `resid_mid.L`, `queries.L`, `keys.L`,
//! `values.L` and `w_o.L`.

use contrib_benches::factored::SMOLLM2;
use contrib_benches::realistic::{Activations, Recording};
use contrib_benches::report::print_table;
use contrib_benches::statistics::Statistics;
use contrib_core::half::f16;
use safetensors::{Dtype, SafeTensors};
use std::error::Error;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = fs::read(arguments.next().ok_or("Which file?")?)?;
    let tensors = SafeTensors::deserialize(&file)?;
    for layer in arguments {
        let read = |name: &str| -> Result<Vec<f32>, Box<dyn Error>> {
            let tensor = tensors.tensor(&format!("{name}.{layer}"))?;
            match tensor.dtype() {
                Dtype::F32 => Ok(tensor.data().as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()),
                Dtype::F16 => Ok(tensor.data().as_chunks().0.iter().map(|&x| f16::from_le_bytes(x).to_f32()).collect()),
                dtype => Err(format!("{name}.{layer} is {dtype:?}").into()),
            }
        };
        let recording = Recording {
            resid_pre: read("resid_pre")?,
            resid_mid: read("resid_mid")?,
            queries: read("queries")?,
            keys: read("keys")?,
            values: read("values")?,
            w_o: read("w_o")?,
        };
        let tokens = recording.resid_mid.len() / SMOLLM2.d_model;
        let recorded = Statistics::of(&Activations::recorded(SMOLLM2, tokens, recording));
        let made = Statistics::of(&Activations::new(SMOLLM2, tokens, tokens));
        let row = |((name, recorded), (_, made)): ((&str, f64), (&str, f64))| {
            [name.to_owned(), format!("{recorded:.4}"), format!("{made:.4}"), format!("{:.2}", made / recorded)]
        };
        println!("Layer {layer}:");
        print_table(
            ["", "recorded", "synthetic", "ratio"],
            &recorded.named().into_iter().zip(made.named()).map(row).collect::<Vec<_>>(),
        );
    }
    Ok(())
}

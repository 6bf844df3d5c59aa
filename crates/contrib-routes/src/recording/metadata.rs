//! What the metadata of a file say: strings, of which numbers and lists are the JSON text.

use crate::error::Error;
use serde_json::Value;
use std::collections::HashMap;

/// What a file says of its model and prompt beside tensors.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) n_layers: usize,
    /// What shapes have to agree with, where it is said.
    pub(super) n_heads: Option<usize>,
    pub(super) n_kv_heads: Option<usize>,
    pub(super) d_model: Option<usize>,
    pub(super) scale: Option<f64>,
    pub(super) soft_cap: Option<f64>,
    pub(super) causal: bool,
    pub(super) parallel: bool,
    windows: PerLayer<usize>,
    slopes: PerLayer<Vec<f32>>,
    sinks: PerLayer<Vec<f32>>,
    pub(super) tokens: Option<Vec<String>>,
    /// What may follow the prompt, and how probably.
    pub(super) next_tokens: Vec<(String, f64)>,
}

/// Something that all layers share, or that each has of its own.
#[derive(Clone, Debug)]
enum PerLayer<T> {
    Nothing,
    Shared(T),
    Each(Vec<T>),
}

impl<T> PerLayer<T> {
    fn of(&self, layer: usize) -> Option<&T> {
        match self {
            PerLayer::Nothing => None,
            PerLayer::Shared(shared) => Some(shared),
            PerLayer::Each(each) => each.get(layer),
        }
    }
}

impl Facts {
    pub(super) fn new(metadata: &HashMap<String, String>) -> Result<Self, Error> {
        let texts = Texts(metadata);
        let n_layers = texts
            .count("n_layers")?
            .ok_or_else(|| Error::Metadata { key: "n_layers", problem: "missing".to_string() })?;
        Ok(Facts {
            n_layers,
            n_heads: texts.count("n_heads")?,
            n_kv_heads: texts.count("n_kv_heads")?,
            d_model: texts.count("d_model")?,
            scale: texts.number("scale")?,
            soft_cap: texts.number("soft_cap")?.filter(|&cap| cap != 0.0),
            causal: texts.flag("causal")?.unwrap_or(true),
            parallel: texts.flag("parallel")?.unwrap_or(false),
            windows: texts.per_layer("window", n_layers, window)?,
            slopes: texts.per_layer("slopes", n_layers, numbers)?,
            sinks: texts.per_layer("sinks", n_layers, numbers)?,
            tokens: texts.json("tokens", "a JSON list of strings", |text| serde_json::from_str(text))?,
            next_tokens: texts
                .json("next_tokens", "a JSON list of pairs: a string and a number", |text| serde_json::from_str(text))?
                .unwrap_or_default(),
        })
    }

    /// The window of a layer; 0 in the file is none.
    pub(super) fn window(&self, layer: usize) -> Option<usize> {
        self.windows.of(layer).copied().filter(|&window| window != 0)
    }

    pub(super) fn slopes(&self, layer: usize) -> Option<&[f32]> {
        self.slopes.of(layer).map(Vec::as_slice)
    }

    pub(super) fn sinks(&self, layer: usize) -> Option<&[f32]> {
        self.sinks.of(layer).map(Vec::as_slice)
    }
}

fn window(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| Some(value.as_f64()? as f32).filter(|number| number.is_finite());
    value.as_array()?.iter().map(number).collect()
}

struct Texts<'a>(&'a HashMap<String, String>);

impl Texts<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|text| text.trim())
    }

    fn wrong<T>(&self, key: &'static str, expected: &str) -> Result<T, Error> {
        let got: String = self.text(key).unwrap_or_default().chars().take(40).collect();
        Err(Error::Metadata { key, problem: format!("expected {expected}, got {got:?}") })
    }

    fn count(&self, key: &'static str) -> Result<Option<usize>, Error> {
        match self.text(key).map(str::parse) {
            None => Ok(None),
            Some(Ok(count)) => Ok(Some(count)),
            Some(Err(_)) => self.wrong(key, "a number of them"),
        }
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, Error> {
        match self.text(key).map(str::parse::<f64>) {
            None => Ok(None),
            Some(Ok(number)) if number.is_finite() => Ok(Some(number)),
            Some(_) => self.wrong(key, "a finite number"),
        }
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, Error> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => self.wrong(key, "true or false"),
        }
    }

    /// What `read` makes of the JSON of `key`, or a list of as many of them as there are layers.
    fn per_layer<T>(
        &self,
        key: &'static str,
        n_layers: usize,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<PerLayer<T>, Error> {
        let Some(text) = self.text(key) else { return Ok(PerLayer::Nothing) };
        let Ok(value) = serde_json::from_str::<Value>(text) else { return self.wrong(key, "JSON") };
        if let Some(shared) = read(&value) {
            return Ok(PerLayer::Shared(shared));
        }
        let each: Option<Vec<T>> = value.as_array().and_then(|list| list.iter().map(read).collect());
        match each {
            Some(each) if each.len() == n_layers => Ok(PerLayer::Each(each)),
            _ => self.wrong(key, "one for all layers, or a list with one for each"),
        }
    }

    /// What the JSON of `key` is, as `parse` reads it.
    fn json<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> serde_json::Result<T>,
    ) -> Result<Option<T>, Error> {
        match self.text(key).map(parse) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => self.wrong(key, expected),
        }
    }
}

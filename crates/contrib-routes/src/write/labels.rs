//! What routes are written with beside their numbers: the texts of tokens, and the name of the model.

use crate::allocate::{push, reserve};
use crate::error::Error;
use crate::recording::File;

/// The texts of a prompt and of what the model predicts after it, and the model's name. Whatever is missing is not written, and
/// a token without a text goes by its position.
///
/// Texts come as bytes. What of them is no UTF-8 becomes U+FFFD, as tokens need not be whole characters. They are not trusted:
/// no writer takes them for more than text.
///
/// ```
/// use contrib_routes::Labels;
///
/// let mut labels = Labels::default();
/// labels.set_model("tiny")?;
/// labels.push_token("The")?;
/// labels.push_token(b"caf\xC3")?;
/// labels.push_next_token(" is", 0.25)?;
/// assert_eq!(labels.token(1), Some("caf\u{FFFD}"));
/// assert_eq!(labels.token(2), None);
/// # Ok::<(), contrib_routes::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    model: Option<String>,
    prompt: Option<String>,
    tokens: Texts,
    next_tokens: Texts,
    probabilities: Vec<f64>,
}

/// Texts one after another.
#[derive(Clone, Debug, Default, PartialEq)]
struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text; where that fails, none of it.
    fn push(&mut self, text: &[u8]) -> Result<(), Error> {
        reserve(&mut self.ends, 1)?;
        let before = self.text.len();
        push_lossy(&mut self.text, text).inspect_err(|_| self.text.truncate(before))?;
        push(&mut self.ends, self.text.len())
    }

    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }
}

/// Adds a text, with U+FFFD for what is no UTF-8.
fn push_lossy(text: &mut String, bytes: &[u8]) -> Result<(), Error> {
    let mut add = |more: &str| {
        let bytes = text.len().saturating_add(more.len());
        text.try_reserve(more.len()).map_err(|_| Error::OutOfMemory { bytes })?;
        text.push_str(more);
        Ok::<(), Error>(())
    };
    for chunk in bytes.utf8_chunks() {
        add(chunk.valid())?;
        if !chunk.invalid().is_empty() {
            add("\u{FFFD}")?;
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    push_lossy(&mut text, bytes)?;
    Ok(text)
}

impl Labels {
    /// Sets the name of the model.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_model(&mut self, name: impl AsRef<[u8]>) -> Result<(), Error> {
        self.model = Some(lossy(name.as_ref())?);
        Ok(())
    }

    /// Sets the text that the tokens were made of.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_prompt(&mut self, prompt: impl AsRef<[u8]>) -> Result<(), Error> {
        self.prompt = Some(lossy(prompt.as_ref())?);
        Ok(())
    }

    /// Adds the text of the token at the next position.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn push_token(&mut self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        self.tokens.push(text.as_ref())
    }

    /// Adds a token that may follow the last position, and its probability. The likeliest comes first.
    ///
    /// # Errors
    /// [`Error::Choice`] where the probability is not one; [`Error::OutOfMemory`].
    pub fn push_next_token(&mut self, text: impl AsRef<[u8]>, probability: f64) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(Error::Choice { name: "probability", expected: "a number from 0 to 1", got: probability });
        }
        reserve(&mut self.probabilities, 1)?;
        self.next_tokens.push(text.as_ref())?;
        self.probabilities.push(probability);
        Ok(())
    }

    /// The name of the model.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The text that the tokens were made of.
    #[must_use]
    pub fn prompt(&self) -> Option<&str> {
        self.prompt.as_deref()
    }

    /// The text of the token at a position.
    #[must_use]
    pub fn token(&self, position: usize) -> Option<&str> {
        self.tokens.get(position)
    }

    /// The number of positions whose tokens have texts: the first ones.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.tokens.ends.len()
    }

    /// The tokens that may follow the last position, and their probabilities.
    #[must_use]
    pub fn next_tokens(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        let texts = (0..self.probabilities.len()).map(|index| self.next_tokens.get(index).unwrap_or_default());
        texts.zip(self.probabilities.iter().copied())
    }
}

impl File {
    /// The texts that the file has: `model`, `prompt`, `tokens` and `next_tokens`.
    ///
    /// # Errors
    /// [`Error::Choice`] where a probability of `next_tokens` is not one; [`Error::OutOfMemory`].
    pub fn labels(&self) -> Result<Labels, Error> {
        let mut labels = Labels::default();
        if let Some(model) = self.metadata("model") {
            labels.set_model(model)?;
        }
        if let Some(prompt) = self.metadata("prompt") {
            labels.set_prompt(prompt)?;
        }
        for token in self.tokens().unwrap_or_default() {
            labels.push_token(token)?;
        }
        for (token, probability) in self.next_tokens() {
            labels.push_next_token(token, *probability)?;
        }
        Ok(labels)
    }
}

//! Texts of prompts, which nobody has checked, as they are shown.

use contrib_routes::Labels;

/// How many characters of a prompt, and of a token, are shown.
const LONGEST_PROMPT: usize = 300;
const LONGEST_TOKEN: usize = 40;
/// How many tokens that may come next are named.
const MOST_NEXT: usize = 5;

/// A text in which what a terminal could take for more than text is escaped: control characters, and those that change the
/// direction of what follows.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' | '\\' => shown.push(char),
            char => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// A text in quotation marks, escaped, and with no more than so many characters.
fn quoted(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{:?}..", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A prompt, as it is shown.
fn prompt(text: &str) -> String {
    quoted(text, LONGEST_PROMPT)
}

/// The token at a position, as it is shown: ` " Paris"@5`.
pub fn token(labels: &Labels, position: usize) -> String {
    let text = labels.token(position).map(|text| quoted(text, LONGEST_TOKEN)).unwrap_or_default();
    format!("{text}@{position}")
}

/// A token that may come next.
fn next_token(text: &str) -> String {
    quoted(text, LONGEST_TOKEN)
}

/// The tokens that a model predicts, the likeliest first, with their probabilities; `None` where they are not known.
pub fn next_tokens(labels: &Labels) -> Option<String> {
    let next = labels.next_tokens().take(MOST_NEXT);
    let next: Vec<_> = next.map(|(text, share)| format!("{} {}", next_token(text), percent(share))).collect();
    (!next.is_empty()).then(|| next.join(", "))
}

/// The prompt, where it is known, and how long it is.
pub fn prompt_and_length(labels: &Labels, n_pos: usize) -> String {
    let of_prompt = labels.prompt().map(|text| format!("{} ", prompt(text))).unwrap_or_default();
    format!("{of_prompt}({})", count(n_pos, "token"))
}

/// The name of a model, without quotation marks.
pub fn model(labels: &Labels) -> Option<String> {
    labels.model().map(plain)
}

/// A text of a file as it is shown, without quotation marks.
pub fn plain(text: &str) -> String {
    prompt(text).trim_matches('"').to_string()
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// So many things, in words.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// So many bytes.
pub fn bytes(number: usize) -> String {
    let mut shown = (number as f64, "bytes");
    for unit in ["kB", "MB", "GB", "TB"] {
        if shown.0 < 1000.0 {
            break;
        }
        shown = (shown.0 / 1000.0, unit);
    }
    if number < 1000 { format!("{number} bytes") } else { format!("{:.1} {}", shown.0, shown.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_or_turn_the_line_around_is_escaped() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}b\r\n\u{9b}\""), "a\\u{1b}[31m\\u{202e}b\\r\\n\\u{9b}\"");
        assert_eq!(next_token("\u{7}\t\u{2066}é 日本"), "\"\\u{7}\\t\\u{2066}é 日本\"");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(LONGEST_TOKEN + 1);
        assert_eq!(next_token(&long), format!("{:?}..", "é".repeat(LONGEST_TOKEN)));
        assert_eq!(next_token(&"é".repeat(LONGEST_TOKEN)), format!("{:?}", "é".repeat(LONGEST_TOKEN)));
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        assert_eq!([0, 999, 1000, 7_590_072].map(bytes), ["0 bytes", "999 bytes", "1.0 kB", "7.6 MB"]);
    }
}

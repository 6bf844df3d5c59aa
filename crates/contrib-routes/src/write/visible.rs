//! Texts of tokens as people should see them: each on one line, without anything that hides or moves other text.

use std::fmt::{self, Write};

/// What a character becomes in a language that gives it a meaning; `None` where it stays.
pub(super) type Escape = fn(char) -> Option<&'static str>;

/// In XML and HTML, in text as well as in attributes.
pub(super) fn xml(char: char) -> Option<&'static str> {
    match char {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    }
}

/// In a JSON string that stands in a page. `<` is escaped, so that no text ends the element that holds it.
pub(super) fn json(char: char) -> Option<&'static str> {
    match char {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        '<' => Some("\\u003c"),
        _ => None,
    }
}

/// A text on one line. Spaces at its ends and next to each other are ␣, line ends ↵, tabs ⇥; other controls have their picture or
/// number. What is longer than there is room for ends in …
#[derive(Clone, Copy)]
pub(super) struct Visible<'a> {
    text: &'a str,
    /// How wide it may be, in letters.
    room: f64,
    escape: Escape,
    is_prose: bool,
}

/// How wide letters are on average, as a part of the font size: a generous guess.
pub(super) const LETTER: f64 = 0.58;

impl<'a> Visible<'a> {
    pub(super) fn new(text: &'a str, escape: Escape) -> Self {
        Visible { text, room: f64::INFINITY, escape, is_prose: false }
    }

    /// As a text to be read, in which all white space between words is one space.
    pub(super) fn prose(text: &'a str, escape: Escape) -> Self {
        Visible { is_prose: true, ..Visible::new(text.trim(), escape) }
    }

    /// With room for so many letters.
    pub(super) fn letters(self, room: f64) -> Self {
        Visible { room, ..self }
    }

    /// With room for so many pixels in a font of this size.
    pub(super) fn fit(self, size: f64, width: f64) -> Self {
        self.letters(width / size / LETTER)
    }

    /// Without the space with which many tokens begin.
    pub(super) fn without_space(self) -> Self {
        let text = self.text.strip_prefix(' ').filter(|rest| !rest.is_empty()).unwrap_or(self.text);
        Visible { text, ..self }
    }

    /// Each character, and as what it is shown.
    fn shown(&self) -> impl Iterator<Item = Shown> + use<'a> {
        let inner = self.text.trim_matches(' ');
        let start = inner.as_ptr().addr() - self.text.as_ptr().addr();
        let within = start..start + inner.len();
        let bytes = self.text.as_bytes();
        let is_prose = self.is_prose;
        let mut is_in_space = false;
        let words = self.text.char_indices().filter_map(move |(index, char)| {
            let is_space = is_prose && char.is_whitespace();
            let was_in_space = std::mem::replace(&mut is_in_space, is_space);
            (!(is_space && was_in_space)).then_some((index, if is_space { '\u{A0}' } else { char }))
        });
        words.map(move |(index, char)| match char {
            '\u{A0}' => Shown::Char(' '),
            ' ' => {
                let is_single = within.contains(&index) && bytes[index - 1] != b' ' && bytes[index + 1] != b' ';
                Shown::Char(if is_single { ' ' } else { '␣' })
            }
            '\n' => Shown::Char('↵'),
            '\t' => Shown::Char('⇥'),
            '\0'..='\x1F' => Shown::Char(char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{FFFD}')),
            '\x7F' => Shown::Char('\u{2421}'),
            char if is_hidden(char) => Shown::Code(u32::from(char)),
            // No characters, which XML forbids.
            '\u{FFFE}' | '\u{FFFF}' => Shown::Char('\u{FFFD}'),
            char => Shown::Char(char),
        })
    }
}

/// Whether a character is not seen but changes how others are: controls, line separators, and what sets a direction. Joiners stay,
/// which scripts and emoji need.
fn is_hidden(char: char) -> bool {
    matches!(char, '\u{80}'..='\u{9F}' | '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

enum Shown {
    Char(char),
    /// By its number.
    Code(u32),
}

impl Shown {
    /// In letters. From Hangul on, most scripts are as wide as they are high.
    fn width(&self) -> f64 {
        match *self {
            Shown::Char('\u{1100}'..='\u{1FFF}' | '\u{2E80}'..) => 1.0 / LETTER,
            Shown::Char(_) => 1.0,
            Shown::Code(code) => {
                if code > 0xFFFF {
                    7.0
                } else {
                    6.0
                }
            }
        }
    }
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut width = 0.0;
        // Whether what is not written yet fits, which only has to be found out where the room may end.
        let fits = |written: usize, room: f64| {
            let mut width = 0.0;
            self.shown().skip(written).all(|shown| {
                width += shown.width();
                width <= room
            })
        };
        let mut shown = self.shown();
        for index in 0.. {
            let Some(next) = shown.next() else { return Ok(()) };
            if width + next.width() + 1.0 > self.room && !fits(index, self.room - width) {
                return f.write_char('…');
            }
            width += next.width();
            match next {
                Shown::Code(code) => write!(f, "U+{code:04X}")?,
                Shown::Char(char) => match (self.escape)(char) {
                    Some(escaped) => f.write_str(escaped)?,
                    None => f.write_char(char)?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_line_ends_and_controls_are_seen() {
        let shown = |text| Visible::new(text, xml).to_string();
        assert_eq!(shown(" a b  c "), "␣a b␣␣c␣");
        assert_eq!(shown("\n\t\0\x1B\x7F"), "↵⇥␀␛␡");
        assert_eq!(shown("\u{202E}abc\u{FFFF}"), "U+202Eabc\u{FFFD}");
        assert_eq!(shown("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(shown("   "), "␣␣␣");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        let shown = |text, letters| Visible::new(text, xml).letters(letters).to_string();
        assert_eq!(shown("abcdef", 6.0), "abcdef");
        assert_eq!(shown("abcdef", 5.0), "abcd…");
        assert_eq!(shown("<<<<", 3.0), "&lt;&lt;…");
        assert_eq!(shown("中文中文", 5.0), "中文…");
        assert_eq!(shown("abc", 0.0), "…");
    }

    #[test]
    fn prose_has_single_spaces() {
        assert_eq!(Visible::prose("\n a  b\n\n\tc ", xml).to_string(), "a b c");
    }

    #[test]
    fn one_space_before_a_token_can_be_left_out() {
        let shown = |text| Visible::new(text, xml).without_space().to_string();
        assert_eq!((shown(" a"), shown("a"), shown(" ")), ("a".to_string(), "a".to_string(), "␣".to_string()));
    }

    #[test]
    fn a_json_string_in_a_page_ends_no_element() {
        let text = "\"\\</script>\u{2028}\n";
        let written = format!("\"{}\"", Visible::new(text, json));
        assert!(!written.contains('<'));
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), "\"\\</script>U+2028↵");
    }
}

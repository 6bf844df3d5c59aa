//! Arrays of numbers as text: base64 (RFC 4648, with padding) of their bytes, the least significant first.

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use std::io::{self, Write};

/// Writes a JSON list of the name of a type and the base64 of numbers of this type, `bytes` of each. Nothing is allocated.
fn array<const N: usize>(name: &str, bytes: impl Iterator<Item = [u8; N]>, output: &mut dyn Write) -> io::Result<()> {
    write!(output, "[\"{name}\", \"")?;
    let mut encoder = EncoderWriter::new(output, &STANDARD);
    for bytes in bytes {
        encoder.write_all(&bytes)?;
    }
    encoder.finish()?.write_all(b"\"]")
}

/// Writes numbers of which none is greater than `most`, in as few bytes as that needs.
pub(super) fn whole(most: usize, numbers: impl Iterator<Item = usize>, output: &mut dyn Write) -> io::Result<()> {
    if u8::try_from(most).is_ok() {
        array("u8", numbers.map(|number| [number as u8]), output)
    } else if u16::try_from(most).is_ok() {
        array("u16", numbers.map(|number| (number as u16).to_le_bytes()), output)
    } else {
        array("u32", numbers.map(|number| (number as u32).to_le_bytes()), output)
    }
}

/// Writes numbers so that they are read back as they were: in single precision where each is a number of that.
pub(super) fn real(numbers: &[f64], output: &mut dyn Write) -> io::Result<()> {
    if numbers.iter().all(|&number| f64::from(number as f32) == number) {
        array("f32", numbers.iter().map(|&number| (number as f32).to_le_bytes()), output)
    } else {
        array("f64", numbers.iter().map(|&number| number.to_le_bytes()), output)
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::*;

    /// Refuses all it is given, and counts how often it was asked.
    struct Refusing(usize);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_refused_is_not_asked_again() {
        let mut refusing = Refusing(0);
        let mut output = Output::new(&mut refusing).unwrap();
        let error = real(&vec![0.1; 100_000], &mut output).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        drop(output);
        assert_eq!(refusing.0, 1);
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_need() {
        let written = |most| {
            let mut output = Vec::new();
            whole(most, [most].into_iter(), &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(written(255), r#"["u8", "/w=="]"#);
        assert_eq!(written(256), r#"["u16", "AAE="]"#);
        assert_eq!(written(65_536), r#"["u32", "AAABAA=="]"#);
        for (number, expected) in [(0.5, r#"["f32", "AAAAPw=="]"#), (0.1, r#"["f64", "mpmZmZmZuT8="]"#)] {
            let mut output = Vec::new();
            real(&[number], &mut output).unwrap();
            assert_eq!(String::from_utf8(output).unwrap(), expected);
        }
    }
}

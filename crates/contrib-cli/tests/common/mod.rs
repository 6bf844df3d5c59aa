//! The program, the recording of the examples, and files made of it.

// Each test file uses a part of this.
#![allow(dead_code)]

use serde_json::{Map, Value};
use snapbox::cmd::Command;
use std::path::{Path, PathBuf};

/// The program with these arguments.
pub fn contrib(arguments: &[&str]) -> Command {
    Command::new(env!("CARGO_BIN_EXE_contrib")).args(arguments).env("NO_COLOR", "1").env("COLUMNS", "100")
}

pub fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/smollm2-135m-capitals.safetensors")
}

/// What the program prints, which succeeds.
pub fn printed(arguments: &[&str]) -> String {
    let output = contrib(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code, and what the program prints to the standard error.
pub fn failure(arguments: &[&str]) -> (i32, String) {
    let output = contrib(arguments).output().unwrap();
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A folder that is removed again, with the recording in it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_string()
    }

    /// What is in it, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The recording with another header.
    pub fn damaged(&self, name: &str, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let bytes = std::fs::read(recording()).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let Value::Object(mut header) = serde_json::from_slice(&bytes[8..8 + len]).unwrap() else {
            panic!("no object")
        };
        change(&mut header);
        let mut header = Value::Object(header).to_string();
        while !header.len().is_multiple_of(8) {
            header.push(' ');
        }
        self.write(name, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + len..]].concat())
    }
}

/// The place of a tensor's first byte in a file.
pub fn place_of(path: &str, tensor: &str) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    8 + len + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize
}

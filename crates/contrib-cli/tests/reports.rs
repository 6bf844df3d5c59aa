//! What the program prints for a reader.

mod common;

use common::{Folder, contrib, failure, place_of, printed, recording};
use serde_json::json;
use snapbox::file;

fn arguments<'a>(subcommand: &'a str, path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[subcommand, path], more].concat()
}

#[test]
fn routes_are_reported() {
    let path = recording();
    let path = path.to_str().unwrap();
    contrib(&arguments("routes", path, &[])).assert().success().stdout_eq(file!["snapshots/routes.txt"]).stderr_eq("");
    let summed = ["--heads", "summed", "--norm", "max", "--renormalise", "0.01", "--target", "3,-1", "--top", "2"];
    contrib(&arguments("routes", path, &summed)).assert().success().stdout_eq(file!["snapshots/routes-summed.txt"]);
}

#[test]
fn a_recording_is_inspected() {
    let path = recording();
    let path = path.to_str().unwrap();
    contrib(&["inspect", path]).assert().success().stdout_eq(file!["snapshots/inspect.txt"]).stderr_eq("");
    let listed = printed(&["inspect", path, "--tensors", "--no-check"]);
    assert!(listed.contains("resid_mid.29") && !listed.contains("resid_mid.*") && !listed.contains("Check"));
}

#[test]
fn a_recording_that_is_not_right_has_an_exit_code_of_its_own() {
    let folder = Folder::new();
    let path = folder.damaged("wrong", |_| {});
    let mut bytes = std::fs::read(&path).unwrap();
    let place = place_of(&path, "mlp_out.7");
    bytes[place..place + 4].copy_from_slice(&1e4_f32.to_le_bytes());
    let path = folder.write("wrong", bytes);
    let output = contrib(&["inspect", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().ends_with("wholes are not the sums of their parts\n"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NOT RIGHT: 1 of 60 wholes"), "{text}");
    let line = text.lines().find(|line| line.contains("resid_post") && line.contains("@0")).unwrap();
    assert!(line.trim().starts_with("7 "), "{line}");
    printed(&["inspect", &path, "--positions", "1,-1"]);
    printed(&["inspect", &path, "--tolerance", "1e9"]);
}

#[test]
fn differences_are_reported() {
    let path = recording();
    let path = path.to_str().unwrap();
    let targets = ["--target", "4", "--other-target", "-1", "--top", "6"];
    contrib(&arguments("diff", path, &targets)).assert().success().stdout_eq(file!["snapshots/diff.txt"]).stderr_eq("");
    let same = printed(&["diff", path, path]);
    assert!(same.contains("0 appeared, 0 went, 0 changed"), "{same}");
    let (code, error) = failure(&["diff", path]);
    assert!(code == 2 && error.contains("OTHER_FILE"), "{error}");
}

#[test]
fn totals_are_reported() {
    let path = recording();
    let path = path.to_str().unwrap();
    let twice = [path, "--target", "all", "--top", "4"];
    contrib(&arguments("totals", path, &twice))
        .assert()
        .success()
        .stdout_eq(file!["snapshots/totals.txt"])
        .stderr_eq("");
    let csv = |paths: &[&str]| printed(&[&["totals", "--csv", "-"], paths].concat());
    let (once, twice) = (csv(&[path]), csv(&[path, path]));
    assert_eq!(once.lines().count(), 1 + 30 * 9 + 4 * 30 + 2);
    for (once, twice) in once.lines().zip(twice.lines()).skip(1) {
        let (once, twice): (Vec<_>, Vec<_>) = (once.split(',').collect(), twice.split(',').collect());
        assert_eq!((&once[..3], once[4]), (&twice[..3], twice[4]));
        assert_eq!(twice[3].parse::<f64>().unwrap(), 2.0 * once[3].parse::<f64>().unwrap());
    }
    let sums: serde_json::Value = serde_json::from_str(&printed(&["totals", "--json", "-", path, path])).unwrap();
    assert_eq!((&sums["prompts"], &sums["targets"]), (&json!(2), &json!(2)));
    assert_eq!(sums["heads"][29].as_array().unwrap().len(), 9);
}

#[test]
fn no_control_character_of_a_recording_reaches_the_terminal() {
    let folder = Folder::new();
    let hostile = "\u{1b}[2J\u{7}\r\n\u{9b}31m\u{202e}\u{2028}\u{0}";
    let path = folder.damaged("hostile", |header| {
        let metadata = header["__metadata__"].as_object_mut().unwrap();
        metadata["tokens"] = json!(json!(vec![hostile; 12]).to_string());
        metadata["next_tokens"] = json!(json!([[hostile, 0.5]]).to_string());
        metadata["model"] = json!(hostile);
        metadata["prompt"] = json!(hostile);
        metadata.insert(hostile.to_string(), json!(hostile));
        let first = header.keys().find(|name| name.starts_with("queries")).unwrap().clone();
        let tensor = header.remove(&first).unwrap();
        header.insert(hostile.to_string(), tensor);
    });
    let commands: [&[&str]; 5] = [
        &["routes", &path],
        &["inspect", &path],
        &["inspect", &path, "--tensors"],
        &["diff", &path, "--target", "2", "--other-target", "5"],
        &["totals", &path],
    ];
    for command in commands {
        let text = printed(command);
        let raw = text.chars().find(|&char| (char.is_control() && char != '\n') || "\u{202e}\u{2028}".contains(char));
        assert_eq!(raw, None, "{command:?}: {text:?}");
    }
    let damaged = folder.damaged("damaged\u{1b}[2J", |header| {
        header.insert(hostile.to_string(), json!({ "dtype": "F32", "shape": [3], "data_offsets": [0, 1] }));
    });
    let (code, error) = failure(&["routes", &damaged]);
    assert_eq!((code, error.lines().count()), (1, 1));
    assert_eq!(error.trim_end().chars().find(|char| char.is_control()), None, "{error:?}");
}

//! Files and pipes that the program writes, and what becomes of them where something fails.

mod common;

use common::{Folder, contrib, failure, place_of, printed, recording};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

#[test]
fn outputs_are_written_at_once() {
    let folder = Folder::new();
    let path = recording();
    let path = path.to_str().unwrap();
    let (json, csv) = (folder.path("routes.json"), folder.write("routes.csv", "before"));
    assert_eq!(printed(&["routes", path, "--json", &json, "--csv", &csv]), "");
    assert_eq!(folder.names(), ["routes.csv", "routes.json"]);
    let routes: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert!(routes["edges"].as_array().unwrap().len() > 100);
    assert_eq!(printed(&["routes", path, "--json", "-"]), std::fs::read_to_string(&json).unwrap());
    assert_eq!(printed(&["routes", path, "--csv", "-", "--threads", "1"]), std::fs::read_to_string(&csv).unwrap());
    let all = printed(&["routes", path, "--csv", "-", "--all-edges"]);
    assert!(all.lines().count() > std::fs::read_to_string(&csv).unwrap().lines().count());
    for format in ["--dot", "--svg", "--html"] {
        assert!(printed(&["routes", path, format, "-"]).contains("capital"), "{format}");
    }
}

#[test]
fn changes_are_written() {
    let path = recording();
    let path = path.to_str().unwrap();
    let diff = |format: &str| printed(&["diff", path, "--target", "4", "--other-target", "11", format, "-"]);
    let changes: Value = serde_json::from_str(&diff("--json")).unwrap();
    let lines: Vec<_> = changes.as_array().unwrap().iter().collect();
    assert!(lines.len() > 20 && lines.iter().any(|change| change["before"].is_null()));
    let csv = diff("--csv");
    assert_eq!(csv.lines().count(), lines.len() + 1);
    assert!(csv.lines().all(|line| line.split(',').count() == 12));
}

#[cfg(unix)]
#[test]
fn a_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (plain, json) = (folder.write("plain", ""), folder.path("routes.json"));
    printed(&["routes", recording().to_str().unwrap(), "--json", &json]);
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&json), mode(&plain));
}

#[test]
fn where_an_output_fails_none_is_written() {
    let folder = Folder::new();
    let path = recording();
    let path = path.to_str().unwrap();
    let json = folder.write("routes.json", "before");
    let nowhere = folder.path("missing/routes.csv");
    let (code, error) = failure(&["routes", path, "--json", &json, "--csv", &nowhere]);
    assert!(code == 1 && error.contains("routes.csv"), "{error}");
    let damaged = folder.damaged("damaged", |header| {
        header.remove("mlp_out.7");
    });
    failure(&["routes", &damaged, "--json", &json]);
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "before");
    assert_eq!(folder.names(), ["damaged", "routes.json"]);
    let (code, error) = failure(&["routes", path, "--json", "/dev/null"]);
    assert!(code == 1 && error.contains("not a plain file"), "{error}");
}

#[test]
fn damaged_recordings_are_errors_that_name_the_tensor() {
    let folder = Folder::new();
    let named = |path: &str, expected: &str| {
        for command in ["routes", "inspect", "totals"] {
            let (code, error) = failure(&[command, path]);
            assert_eq!(code, 1);
            assert_eq!(error, format!("contrib: {path}: {expected}\n"), "{command}");
        }
    };
    let renamed = folder.damaged("renamed", |header| {
        let tensor = header.remove("mlp_out.7").unwrap();
        header.insert("other".to_string(), tensor);
    });
    named(&renamed, "mlp_out.7: missing");
    let turned = folder.damaged("turned", |header| header["value_output.3"]["shape"] = json!([9, 12, 576]));
    named(&turned, "value_output.3: expected [12, 9, 576] to match resid_pre and the heads, got [9, 12, 576]");
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let folder = Folder::new();
    let path = folder.damaged("nan", |_| {});
    let mut bytes = std::fs::read(&path).unwrap();
    let place = place_of(&path, "resid_mid.29") + 4 * (11 * 576 + 5);
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = folder.write("nan", &bytes);
    for command in ["routes", "inspect"] {
        let (code, error) = failure(&[command, &path]);
        assert_eq!(code, 1);
        assert!(error.ends_with(": resid_mid.29: not a finite number at [11, 5]\n"), "{error}");
    }
    let truncated = folder.write("truncated", &bytes[..bytes.len() - 1]);
    let (code, error) = failure(&["routes", &truncated]);
    assert!(code == 1 && error.contains("not a safetensors file"), "{error}");
    let (code, error) = failure(&["routes", &folder.path("missing")]);
    assert!(code == 1 && error.contains("missing"), "{error}");
}

#[test]
fn arguments_that_cannot_be_are_errors_of_their_own() {
    let path = recording();
    let path = path.to_str().unwrap();
    let wrong: [&[&str]; 8] = [
        &["routes"],
        &["routes", path, "--norm", "0.5"],
        &["routes", path, "--threshold", "NaN"],
        &["routes", path, "--target", "first"],
        &["routes", path, "--json", "-", "--csv", "-"],
        &["routes", path, "--heads", "some"],
        &["totals"],
        &["unknown"],
    ];
    for arguments in wrong {
        assert_eq!(failure(arguments).0, 2, "{arguments:?}");
    }
    let (code, error) = failure(&["routes", path, "--target", "12"]);
    assert_eq!(code, 1);
    assert!(error.ends_with("position 12: expected one of 0 to 11, or of -12 to -1\n"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let path = recording();
    for arguments in [&["--json", "-"][..], &["--target", "all"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contrib"));
        command.arg("routes").arg(&path).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = command.spawn().unwrap();
        drop(program.stdout.take());
        let output = program.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
    }
}

/// A recording that takes seconds: many positions, and all of them targets.
#[cfg(target_os = "linux")]
fn long_recording(folder: &Folder) -> String {
    const LAYERS: usize = 24;
    const SHAPES: [(&str, [usize; 3]); 7] = [
        ("resid_pre", [1, 2000, 16]),
        ("resid_mid", [1, 2000, 16]),
        ("mlp_out", [1, 2000, 16]),
        ("queries", [2000, 4, 4]),
        ("keys", [2000, 4, 4]),
        ("values", [2000, 4, 4]),
        ("w_o", [4, 4, 16]),
    ];
    let mut header = json!({ "__metadata__": { "n_layers": LAYERS.to_string() } });
    let mut data = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let begin = data.len();
        for number in 0..shape.iter().product::<usize>() {
            data.extend((((number * 7919 + begin) % 1013) as f32 / 1013.0).to_le_bytes());
        }
        header[name] = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
    };
    for layer in 0..LAYERS {
        for (name, shape) in SHAPES {
            add(format!("{name}.{layer}"), shape.strip_prefix(&[1]).unwrap_or(&shape));
        }
    }
    add("resid_post".to_string(), &[2000, 16]);
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    folder.write("long", [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat())
}

/// Whether a process has a handler of the signal of Ctrl-C.
#[cfg(target_os = "linux")]
fn listens(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    u64::from_str_radix(caught.trim(), 16).unwrap_or_default() & 2 != 0
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_stops_the_work_and_nothing_is_written() {
    let folder = Folder::new();
    let path = long_recording(&folder);
    let json = folder.write("routes.json", "before");
    let mut command = Command::new(env!("CARGO_BIN_EXE_contrib"));
    command.args(["routes", &path, "--target", "all", "--threshold", "0.001", "--threads", "1", "--json", &json]);
    let mut program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !listens(program.id()) {
        assert_eq!(program.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap().success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "contrib: stopped; nothing was written\n");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "before");
    assert_eq!(folder.names(), ["long", "routes.json"]);
}

#[test]
fn completions_and_man_pages_are_made() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&["completions", shell]).contains("renormalise"), "{shell}");
    }
    printed(&["man", &folder.path("")]);
    let names = folder.names();
    assert!(names.iter().any(|name| name == "contrib-routes.1"), "{names:?}");
    let page = std::fs::read_to_string(folder.path("contrib.1")).unwrap();
    assert!(page.contains("Exit codes"), "{page}");
    contrib(&["--help"]).assert().success();
}

#[cfg(unix)]
#[test]
fn what_was_there_keeps_its_permissions_and_links_lead_to_the_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (json, link) = (folder.write("routes.json", "before"), folder.path("link"));
    std::fs::set_permissions(&json, PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&json, &link).unwrap();
    printed(&["routes", recording().to_str().unwrap(), "--json", &link]);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::metadata(&json).unwrap().len() > 1000);
    assert_eq!(std::fs::metadata(&json).unwrap().permissions().mode() & 0o777, 0o600);
}

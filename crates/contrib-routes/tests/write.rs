//! What is written of routes, read back.

mod common;

use common::model::{Choices, Model};
use contrib_routes::{EdgeKind, Error, Format, HeadEdges, Labels, NodeKind, Options, Routes, Targets, routes, write};
use roxmltree::Document;
use serde_json::Value;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Texts that would be something else than text, for each format one; a position each.
const HOSTILE: [&[u8]; 9] = [
    b"</script><script>alert(1)</script>",
    b"<!--\"];n0->n1[label=\"",
    b"\"x\" onload='y' &amp; ]]> <svg/>",
    b"=1+1\"\r\n\"",
    b"'@\\N\\",
    b"\0\x01\x08\x1B\x7F\xFF\xED\xA0\x80",
    "\u{202E}\u{2028}\u{FFFE}\u{85}".as_bytes(),
    "👩\u{200D}👧 שלום ".as_bytes(),
    b"\n\n \t",
];

fn hostile() -> Labels {
    let mut labels = Labels::default();
    labels.set_model(HOSTILE[0]).unwrap();
    labels.set_prompt(HOSTILE[1]).unwrap();
    for text in HOSTILE {
        labels.push_token(text).unwrap();
    }
    labels.push_next_token(HOSTILE[2], 0.5).unwrap();
    labels
}

/// Routes through nodes and edges of every kind: to the last position, or to all.
fn found(targets: Targets<'_>, heads: HeadEdges, is_parallel: bool) -> Routes {
    let choices = Choices { biases: [true; 2], n_layers: 3, n_pos: HOSTILE.len(), is_parallel, ..Choices::PLAIN };
    routes(&mut Model::new(choices).recording(), targets, &Options { threshold: 0.01, heads, ..Options::default() })
        .unwrap()
}

fn all() -> Routes {
    found(Targets::All, HeadEdges::Each, false)
}

fn many() -> Vec<Routes> {
    let last = HOSTILE.len() - 1;
    vec![
        all(),
        found(Targets::At(&[last]), HeadEdges::Each, false),
        found(Targets::At(&[2]), HeadEdges::Summed, false),
        found(Targets::All, HeadEdges::Each, true),
        found(Targets::At(&[]), HeadEdges::Each, false),
        all().routes_to(Targets::All, f64::INFINITY).unwrap(),
    ]
}

fn written(routes: &Routes, labels: &Labels, format: Format) -> String {
    let mut output = Vec::new();
    write(routes, labels, format, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

/// The number that follows a key, as Rust reads it: exactly.
fn number(line: &str, key: &str) -> f64 {
    let (_, after) = line.split_once(key).unwrap();
    after.split([',', '}']).next().unwrap().trim().parse().unwrap()
}

#[test]
fn the_sample_has_nodes_and_edges_of_every_kind() {
    let all = all();
    for kind in [EdgeKind::Residual, EdgeKind::Attention, EdgeKind::MlpInput, EdgeKind::MlpOutput, EdgeKind::Bias] {
        assert!(all.edge_kinds().contains(&kind), "{kind:?}");
    }
    assert!(all.node_kinds().contains(&NodeKind::AttentionBias) && all.node_kinds().contains(&NodeKind::MlpBias));
}

#[test]
fn json_has_every_number_as_it_was() {
    for routes in many() {
        let text = written(&routes, &hostile(), Format::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        let list = |key: &str| value[key].as_array().unwrap().clone();
        assert_eq!((list("nodes").len(), list("edges").len()), (routes.n_nodes(), routes.n_edges()));
        for (node, value) in routes.nodes().zip(list("nodes")) {
            assert_eq!(value["layer"].as_u64(), Some(node.layer as u64));
            assert_eq!(value["kind"].as_str(), Some(node.kind.name()));
            assert_eq!(value["position"].as_u64(), Some(node.position as u64));
        }
        for (number, value) in list("edges").iter().enumerate() {
            assert_eq!(value["from"].as_u64(), Some(u64::from(routes.edge_froms()[number])));
            assert_eq!(value["to"].as_u64(), Some(u64::from(routes.edge_tos()[number])));
            assert_eq!(value["kind"].as_str(), Some(routes.edge_kinds()[number].name()));
            assert_eq!(value.get("head").and_then(Value::as_u64), routes.edge(number).head.map(|head| head as u64));
        }
        let of_nodes = text.lines().filter(|line| line.starts_with("{\"layer\""));
        let flows: Vec<f64> = of_nodes.map(|line| number(line, "\"flow\":")).collect();
        assert_eq!(flows, routes.node_flows());
        let of_edges = text.lines().filter(|line| line.starts_with("{\"from\""));
        let numbers: Vec<(f64, f64)> =
            of_edges.map(|line| (number(line, "\"weight\":"), number(line, "\"flow\":"))).collect();
        let expected: Vec<(f64, f64)> = routes.edges().map(|edge| (edge.weight, edge.flow)).collect();
        assert_eq!(numbers, expected);
        let targets: Vec<u64> = list("targets").iter().filter_map(Value::as_u64).collect();
        assert_eq!(targets, routes.targets().map(|target| target as u64).collect::<Vec<_>>());
        assert_eq!(value["threshold"].as_f64(), Some(routes.threshold().min(f64::MAX)));
    }
}

#[test]
fn json_has_every_text_as_it_was() {
    let value: Value = serde_json::from_str(&written(&all(), &hostile(), Format::Json)).unwrap();
    for (position, text) in HOSTILE.iter().enumerate() {
        assert_eq!(value["tokens"][position], String::from_utf8_lossy(text).as_ref());
    }
    assert_eq!(value["model"], String::from_utf8_lossy(HOSTILE[0]).as_ref());
    assert_eq!(value["next_tokens"][0]["probability"], 0.5);
    let value: Value = serde_json::from_str(&written(&all(), &Labels::default(), Format::Json)).unwrap();
    assert_eq!((&value["model"], &value["tokens"][0]), (&Value::Null, &Value::Null));
}

#[test]
fn json_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(Format::JSON_SCHEMA).unwrap();
    for routes in many() {
        let value: Value = serde_json::from_str(&written(&routes, &hostile(), Format::Json)).unwrap();
        check(&schema, &value, &schema).unwrap();
    }
    // The check finds what is wrong.
    let mut value: Value = serde_json::from_str(&written(&all(), &hostile(), Format::Json)).unwrap();
    value["edges"][0]["kind"] = "other".into();
    assert!(check(&schema, &value, &schema).unwrap_err().contains("other"));
}

/// Whether a value is as a schema says, of whose words these are all that ours uses.
fn check(schema: &Value, value: &Value, root: &Value) -> Result<(), String> {
    let fails = |word: &str| Err(format!("{word}: {value}"));
    for (word, said) in schema.as_object().unwrap() {
        let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
        let is_of_type = |name: &Value| match name.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            "null" => value.is_null(),
            other => panic!("type {other}"),
        };
        match word.as_str() {
            "$ref" => {
                let pointer = said.as_str().unwrap().trim_start_matches('#');
                check(root.pointer(pointer).unwrap(), value, root)?;
            }
            "type" => {
                let is_one = said.as_array().map_or_else(|| is_of_type(said), |types| types.iter().any(is_of_type));
                if !is_one {
                    return fails(word);
                }
            }
            "const" if value != said => return fails(word),
            "enum" if !said.as_array().unwrap().contains(value) => return fails(word),
            "required" if !said.as_array().unwrap().iter().all(has) => return fails(word),
            "minimum" if value.as_f64() < said.as_f64() => return fails(word),
            "maximum" if value.as_f64() > said.as_f64() => return fails(word),
            // Said already, or nothing to check.
            "const" | "enum" | "required" | "minimum" | "maximum" | "$schema" | "title" | "description" | "$defs" => {}
            "uniqueItems" => {
                let items = value.as_array().unwrap();
                if items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) {
                    return fails(word);
                }
            }
            "properties" => {
                let known = said.as_object().unwrap();
                for (name, value) in value.as_object().unwrap() {
                    let schema = known.get(name).ok_or_else(|| format!("{name} is not in the schema"))?;
                    check(schema, value, root)?;
                }
            }
            "items" => value.as_array().unwrap().iter().try_for_each(|item| check(said, item, root))?,
            other => panic!("{other} is not known to this check"),
        }
    }
    Ok(())
}

/// The records of comma-separated values, as RFC 4180 says.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let field = record.last_mut().unwrap();
        match char {
            '"' if !is_quoted && field.is_empty() => is_quoted = true,
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted => is_quoted = false,
            ',' if !is_quoted => record.push(String::new()),
            '\r' if !is_quoted => {
                assert_eq!(chars.next(), Some('\n'));
                records.push(std::mem::replace(&mut record, vec![String::new()]));
            }
            char => field.push(char),
        }
    }
    assert_eq!(record, [""]);
    records
}

#[test]
fn csv_has_a_record_for_each_edge() {
    for routes in many() {
        let records = records(&written(&routes, &hostile(), Format::Csv));
        assert_eq!(records.len(), routes.n_edges() + 1);
        for (edge, record) in routes.edges().zip(&records[1..]) {
            let [to_layer, _, to, to_token, _, from_kind, from, _, kind, head, weight, flow] = &record[..] else {
                panic!("{record:?}")
            };
            assert_eq!((to_layer.parse(), to.parse()), (Ok(edge.to.layer), Ok(edge.to.position)));
            assert_eq!((from_kind.as_str(), from.parse()), (edge.from.kind.name(), Ok(edge.from.position)));
            assert_eq!(kind, edge.kind.name());
            assert_eq!(*head, edge.head.map_or_else(String::new, |head| head.to_string()));
            assert_eq!((weight.parse(), flow.parse()), (Ok(edge.weight), Ok(edge.flow)));
            let text = String::from_utf8_lossy(HOSTILE[edge.to.position]).replace('\0', "\u{FFFD}");
            assert_eq!(to_token.strip_prefix('\'').unwrap_or(to_token), text);
        }
    }
}

#[test]
fn no_token_in_csv_is_a_formula() {
    let mut labels = Labels::default();
    for text in ["=1", "+1", "-1", "@x", "\t=1", " =1", "'=1", "＝1", "\r\n=1"] {
        labels.push_token(text).unwrap();
    }
    let records = records(&written(&all(), &labels, Format::Csv));
    assert!(records[1..].iter().all(|record| record[3].starts_with('\'') && record[7].starts_with('\'')));
}

/// What Graphviz makes of a graph, where it is installed.
fn graphviz(dot: &str, format: &str) -> Option<String> {
    let dot_of = |stdin| Command::new("dot").arg(format).stdin(stdin).stdout(Stdio::piped()).spawn().ok();
    let mut child = dot_of(Stdio::piped())?;
    let mut stdin = child.stdin.take()?;
    let dot = dot.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(dot.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn dot_has_texts_in_quotes_only() {
    for routes in many() {
        let text = written(&routes, &hostile(), Format::Dot);
        let mut is_quoted = false;
        let mut outside = String::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\\' if is_quoted => drop(chars.next()),
                '"' => is_quoted = !is_quoted,
                char if !is_quoted => outside.push(char),
                _ => {}
            }
        }
        assert!(!is_quoted);
        for hostile in ["alert", "onload", "script", "\0", "n0->n1"] {
            assert!(!outside.contains(hostile), "{hostile}");
        }
        assert_eq!(outside.matches(" -> ").count(), routes.n_edges());
    }
}

#[test]
fn graphviz_reads_dot_and_its_picture_is_xml() {
    for routes in many() {
        let text = written(&routes, &hostile(), Format::Dot);
        let Some(picture) = graphviz(&text, "-Tsvg") else {
            eprintln!("dot of Graphviz is not installed");
            return;
        };
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = Document::parse_with_options(&picture, options).unwrap();
        let of_class = |class| document.descendants().filter(|node| node.attribute("class") == Some(class)).count();
        assert_eq!((of_class("node"), of_class("edge")), (routes.n_nodes(), routes.n_edges()));
        if routes.n_nodes() > 0 && routes.targets().len() == HOSTILE.len() {
            let has = |text: &str| document.descendants().any(|node| node.text().is_some_and(|of| of.contains(text)));
            assert!(has("</script><script>alert(1)") && has("'@\\N\\") && has("&amp;"));
        }
    }
}

#[test]
fn svg_is_xml_in_which_tokens_are_text() {
    for routes in many() {
        for labels in [hostile(), Labels::default()] {
            let text = written(&routes, &labels, Format::Svg);
            let document = Document::parse(&text).unwrap();
            let known = ["svg", "title", "style", "rect", "text", "tspan", "line", "path", "circle"];
            for node in document.descendants().filter(roxmltree::Node::is_element) {
                assert!(known.contains(&node.tag_name().name()), "{}", node.tag_name().name());
                assert!(node.attributes().all(|attribute| !attribute.name().starts_with("on")));
            }
            // A control that XML allows may be hidden, too.
            assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
        }
    }
}

#[test]
fn svg_draws_each_edge_of_attention_once() {
    let routes = found(Targets::At(&[8]), HeadEdges::Each, false);
    let text = written(&routes, &hostile(), Format::Svg);
    let document = Document::parse(&text).unwrap();
    let titles = document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|node| node.text());
    let heads: usize = titles
        .filter_map(|title| title.strip_prefix("attention, layer "))
        .map(|title| title.split(':').next().unwrap().matches(" h").count())
        .sum();
    let expected = routes.edge_kinds().iter().filter(|&&kind| kind == EdgeKind::Attention).count();
    assert_eq!(heads, expected);
}

#[test]
fn a_page_holds_its_data_and_nothing_of_the_texts_as_markup() {
    for routes in many() {
        let text = written(&routes, &hostile(), Format::Html);
        assert_eq!(text.matches("<script").count(), 2);
        assert_eq!(text.matches("</script").count(), 2);
        assert!(!text.contains("{{") && !text.contains("http:") && !text.contains("https:"));
        let (_, rest) = text.split_once("id=\"routes\">").unwrap();
        let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
        assert_eq!(data["facts"]["tokens"][0], "</script><script>alert(1)</script>");
        assert_eq!(data["facts"]["nPos"], routes.n_pos());
    }
}

/// Takes so many bytes, then fails, and is not to be asked again.
struct Full {
    room: usize,
    has_failed: bool,
}

impl Full {
    fn new(room: usize) -> Self {
        Full { room, has_failed: false }
    }
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.has_failed, "an output that failed was asked again");
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.has_failed = taken == 0;
        if self.has_failed { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_error_of_an_output_is_handed_up() {
    let routes = all();
    for format in Format::ALL {
        let len = written(&routes, &hostile(), format).len();
        for room in [0, 1, 1000, len / 2, len - 1] {
            match write(&routes, &hostile(), format, &mut Full::new(room)) {
                Err(Error::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                other => panic!("{format:?}, {room}: {other:?}"),
            }
        }
        write(&routes, &hostile(), format, &mut Full::new(len)).unwrap();
    }
}

#[test]
fn a_format_is_found_by_the_extension() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        assert_eq!(Format::from_path(format!("some/routes.{}", format.name().to_uppercase())), Some(format));
    }
    assert_eq!((Format::from_path("a.gv"), Format::from_path("a.htm")), (Some(Format::Dot), Some(Format::Html)));
    assert_eq!((Format::from_path("json"), Format::from_path("a.png")), (None, None));
}

#[test]
fn labels_are_of_any_bytes() {
    let labels = hostile();
    assert_eq!(labels.n_tokens(), HOSTILE.len());
    for (position, text) in HOSTILE.iter().enumerate() {
        assert_eq!(labels.token(position), Some(String::from_utf8_lossy(text).as_ref()));
    }
    assert_eq!(labels.next_tokens().next(), Some((String::from_utf8_lossy(HOSTILE[2]).as_ref(), 0.5)));
    for wrong in [-0.1, 1.1, f64::NAN] {
        let error = Labels::default().push_next_token("a", wrong);
        assert!(matches!(error, Err(Error::Choice { name: "probability", .. })));
    }
}

//! Damages the header of a safetensors file, and keeps it JSON.

use serde_json::{Map, Value, json};

/// A small generator of numbers that anything can be chosen with (splitmix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }
}

/// The file with another header, where it has one.
pub fn with_damaged_header(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let len = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let header = bytes[8..].get(..len)?;
    let data = &bytes[8 + len..];
    let Value::Object(mut header) = serde_json::from_slice(header).ok()? else { return None };
    let mut random = Random(u64::from(seed));
    for _ in 0..=random.below(8) / 6 {
        damage(&mut header, &mut random, data.len());
    }
    let mut text = Value::Object(header).to_string();
    if random.below(8) == 0 {
        // A name that comes twice, which an object cannot hold.
        text = text.replacen('{', "{\"resid_post\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},", 1);
    }
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    Some([&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), data].concat())
}

fn damage(header: &mut Map<String, Value>, random: &mut Random, len: usize) {
    let names: Vec<String> = header.keys().cloned().collect();
    let Some(name) = names.get(random.below(names.len())) else { return };
    let other = &names[random.below(names.len())];
    if let Some(Value::Object(metadata)) = header.get_mut("__metadata__").filter(|_| random.below(2) == 0) {
        let keys = [
            "n_layers",
            "n_heads",
            "n_kv_heads",
            "d_model",
            "scale",
            "soft_cap",
            "causal",
            "window",
            "slopes",
            "sinks",
            "parallel",
            "tokens",
            "next_tokens",
            "model",
            "prompt",
        ];
        let value = match random.below(6) {
            0..3 => Value::String(text_of_metadata(random)),
            3 => value(random, len),
            _ => {
                metadata.remove(keys[random.below(keys.len())]);
                return;
            }
        };
        metadata.insert(keys[random.below(keys.len())].to_string(), value);
        return;
    }
    match random.below(6) {
        0 => {
            let taken = header.remove(name);
            header.insert(other.clone(), taken.unwrap_or_default());
        }
        1 => {
            let (one, two) = (header[name].clone(), header[other].clone());
            header.insert(name.clone(), two);
            header.insert(other.clone(), one);
        }
        2 => {
            header.remove(name);
        }
        _ => {
            let new = value(random, len);
            let Some(Value::Object(tensor)) = header.get_mut(name) else { return };
            match random.below(4) {
                0 => {
                    let dtypes = ["F32", "F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "F4", "none"];
                    tensor.insert("dtype".to_string(), json!(dtypes[random.below(dtypes.len())]));
                }
                1 => {
                    let field = ["shape", "data_offsets", "dtype", "other"][random.below(4)];
                    tensor.insert(field.to_string(), new);
                }
                field => {
                    let Some(Value::Array(numbers)) = tensor.get_mut(["shape", "data_offsets"][field - 2]) else {
                        return;
                    };
                    let place = random.below(numbers.len());
                    match random.below(4) {
                        0 => numbers.push(json!(number(random, len))),
                        1 => numbers.reverse(),
                        2 => {
                            numbers.pop();
                        }
                        _ if numbers.is_empty() => {}
                        _ => numbers[place] = json!(number(random, len)),
                    }
                }
            }
        }
    }
}

fn number(random: &mut Random, len: usize) -> u64 {
    match random.below(6) {
        0 => u64::MAX >> random.below(64),
        1 => 1 << random.below(64),
        2 => 1_000_000_000_000_000_000,
        3 => random.below(len + 9) as u64,
        _ => random.below(9) as u64,
    }
}

fn value(random: &mut Random, len: usize) -> Value {
    match random.below(7) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1.5e308),
        3 => json!([number(random, len), number(random, len)]),
        4 => json!([]),
        5 => json!({ "n_layers": "2" }),
        _ => json!(number(random, len)),
    }
}

fn text_of_metadata(random: &mut Random) -> String {
    let texts = [
        "",
        "0",
        "1",
        "-1",
        "2",
        "1000000000000000000",
        "18446744073709551615",
        "NaN",
        "inf",
        "1e308",
        "-0.0",
        "true",
        "FALSE",
        "[]",
        "[1, 2]",
        "[1.5]",
        "[[0.5, -0.5], [1e300, 0]]",
        "[[]]",
        "[null]",
        "{}",
        "[\"\\u0000\", \"\\ud83d\\ude00\"]",
        "[\"a\"]",
        "[[\"a\", 0.5]]",
        "[[\"a\", 2.0]]",
        "[[\"a\"]]",
        "\u{7}\u{1b}[31m\u{202e}",
    ];
    match random.below(texts.len() + 2) {
        0 => number(random, 64).to_string(),
        1 => format!("{}{}", "[".repeat(200), "]".repeat(200)),
        choice => texts[choice - 2].to_string(),
    }
}

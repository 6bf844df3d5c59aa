//! The header's items by topic: what cbindgen writes by kind is put in the order in which a reader meets it, in Doxygen's
//! groups. The modules of `contrib-ffi` say what belongs together.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

/// A group of the header, made of modules of `contrib-ffi`. What a group uses stands before it.
struct Group {
    name: &'static str,
    title: &'static str,
    modules: &'static [&'static str],
}

impl Group {
    /// The group's items between what opens and closes it.
    fn around(&self, items: &str) -> String {
        let Group { name, title, .. } = self;
        format!("/// \\defgroup {name} {title}\n/// @{{\n\n{items}\n\n/// @}}\n\n")
    }
}

const GROUPS: [Group; 7] = [
    Group { name: "contrib_version", title: "Version", modules: &["version"] },
    Group { name: "contrib_errors", title: "Errors", modules: &["status", "message"] },
    Group { name: "contrib_tensors", title: "Tensors", modules: &["tensor"] },
    Group { name: "contrib_contexts", title: "Contexts", modules: &["context"] },
    Group { name: "contrib_options", title: "Options", modules: &["options", "prepared_projection"] },
    Group {
        name: "contrib_operations",
        title: "Operations",
        modules: &["queries_and_keys", "groups", "attention", "neurons", "operations"],
    },
    Group { name: "contrib_routes", title: "Routes", modules: &["routes"] },
];

/// Which module of the crate defines each of its public names.
pub struct Modules(HashMap<String, String>);

impl Modules {
    /// Reads the sources below `src`. What lies in a folder belongs to the module of that name.
    pub fn read(src: &Path) -> io::Result<Self> {
        let mut names = HashMap::new();
        for entry in fs::read_dir(src)? {
            let path = entry?.path();
            let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for source in sources(&path)? {
                names.extend(defined_names(&source).map(|name| (name.to_owned(), module.clone())));
            }
        }
        Ok(Modules(names))
    }
}

/// The text of a file, or of all files in a folder and those below it.
fn sources(path: &Path) -> io::Result<Vec<String>> {
    if !path.is_dir() {
        return Ok(vec![fs::read_to_string(path)?]);
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        all.extend(sources(&entry?.path())?);
    }
    Ok(all)
}

/// The names of the public constants, types and functions of a source.
fn defined_names(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| line.starts_with("pub ")).filter_map(|line| {
        let kinds = [" const ", " struct ", " type ", " fn "];
        let after = kinds.iter().find_map(|kind| line.split_once(kind))?.1;
        identifiers(after).next()
    })
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').filter(|word| !word.is_empty())
}

/// The items that cbindgen wrote, with `first` before all others, by group. An item whose module has no group is an error.
pub fn by_group(items: &str, modules: &Modules, first: &str) -> Result<String, String> {
    let mut texts = GROUPS.map(|_| Vec::new());
    texts[0].push(first.to_owned());
    for item in items.split("\n\n").map(str::trim).filter(|item| !item.is_empty()) {
        let name = name_of(item).ok_or_else(|| format!("an item without a name:\n{item}"))?;
        let module = modules.0.get(name).ok_or_else(|| format!("{name} is defined in no module"))?;
        let group = GROUPS
            .iter()
            .position(|group| group.modules.contains(&module.as_str()))
            .ok_or_else(|| format!("groups.rs has no group with the module {module}, which defines {name}"))?;
        texts[group].push(documented_for_c(item));
    }
    let groups = GROUPS.iter().zip(texts).filter(|(_, texts)| !texts.is_empty());
    let groups: Vec<_> = groups.map(|(group, texts)| group.around(&texts.join("\n\n"))).collect();
    Ok(groups.concat())
}

/// What an item of the header declares.
fn name_of(item: &str) -> Option<&str> {
    let declaration = item.lines().find(|line| !line.trim_start().starts_with("//"))?;
    let after = |prefix| declaration.strip_prefix(prefix).and_then(|rest| identifiers(rest).next());
    if let Some(name) = after("#define ").or_else(|| after("typedef struct ")) {
        return Some(name);
    }
    if let Some((_, pointer)) = declaration.split_once("(*") {
        return identifiers(pointer).next();
    }
    let before = declaration.split_once(['(', ';'])?.0;
    identifiers(before).last()
}

/// An item with its documentation as C and Doxygen have it.
fn documented_for_c(item: &str) -> String {
    let mut text = item.to_owned();
    if let Some((before, contract)) = item.split_once("/// # Safety\n/// ") {
        text = format!("{before}/// \\pre {}", contract.replace(" null", " NULL"));
    }
    let outputs = outputs(item);
    if !outputs.is_empty() {
        let (comment, declaration) = split_comment(&text);
        text = format!("{comment}///\n/// \\param[out] {} Written.\n{declaration}", outputs.join(","));
    }
    text
}

/// A documented item's comment, and the rest.
fn split_comment(item: &str) -> (&str, &str) {
    let comment = item.split_inclusive('\n').take_while(|line| line.starts_with("///")).map(str::len).sum();
    item.split_at(comment)
}

/// The parameters of a function that it writes to.
fn outputs(item: &str) -> Vec<&str> {
    let (_, declaration) = split_comment(item);
    if declaration.starts_with("typedef") || declaration.starts_with("#define") {
        return Vec::new();
    }
    let Some((_, parameters)) = declaration.split_once('(') else { return Vec::new() };
    let names = parameters.split(',').filter_map(|parameter| identifiers(parameter).last());
    names.filter(|name| *name == "out" || name.starts_with("out_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_item_has_its_name() {
        let items = [
            ("/// A flag.\n#define CONTRIB_CAUSAL 1", "CONTRIB_CAUSAL"),
            ("typedef struct contrib_context contrib_context;", "contrib_context"),
            (
                "/// A struct.\ntypedef struct contrib_dtype {\n    /// A field.\n    uint8_t code;\n} contrib_dtype;",
                "contrib_dtype",
            ),
            ("typedef int32_t contrib_status;", "contrib_status"),
            ("typedef void (*contrib_task)(void *task_data, size_t index);", "contrib_task"),
            ("const char *contrib_version(void);", "contrib_version"),
            (
                "contrib_status contrib_context_new(size_t n_threads,\n    struct contrib_context **out);",
                "contrib_context_new",
            ),
        ];
        for (item, name) in items {
            assert_eq!(name_of(item), Some(name));
        }
    }

    #[test]
    fn a_function_says_what_it_writes_and_what_it_requires() {
        let item = "/// Makes one.\n///\n/// # Safety\n/// `out` is null or may be written.\n\
                    contrib_status contrib_context_new(size_t n_threads,\n    struct contrib_context **out);";
        let expected = "/// Makes one.\n///\n/// \\pre `out` is NULL or may be written.\n///\n/// \\param[out] out Written.\n\
                        contrib_status contrib_context_new(size_t n_threads,\n    struct contrib_context **out);";
        assert_eq!(documented_for_c(item), expected);
    }

    #[test]
    fn an_item_of_a_module_without_a_group_is_an_error() {
        let modules = Modules(HashMap::from([("contrib_new".to_owned(), "novelties".to_owned())]));
        let error = by_group("void contrib_new(void);", &modules, "").unwrap_err();
        assert!(error.contains("novelties"), "{error}");
    }
}

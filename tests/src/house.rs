//! The rules of the house, counted from the sources of core and adapters: who may import whom, how
//! large a room may be, and where a type's own methods stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file as the rules see it, without its tests.
struct Room {
    /// From the crate's `src`, without `.rs`: `driver/cache/read`.
    name: String,
    code: String,
}

/// The rooms of a crate.
struct House {
    rooms: Vec<Room>,
    names: BTreeSet<String>,
}

impl House {
    fn of(package: &str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(package)
            .join("src");
        let mut rooms = Vec::new();
        for path in sources(&src) {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(&src).unwrap().with_extension("");
            rooms.push(Room {
                name: name.to_str().unwrap().replace('\\', "/"),
                code: without_tests_and_comments(&text),
            });
        }
        assert!(rooms.len() > 20, "{package} has only {} files", rooms.len());
        let names = rooms.iter().map(|room| room.name.clone()).collect();
        Self { rooms, names }
    }

    /// Whom each room imports.
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let of = |room| (room_name(room), self.imports_of(room));
        self.rooms.iter().map(of).collect()
    }

    fn imports_of<'a>(&'a self, room: &'a Room) -> BTreeSet<&'a str> {
        let here = if room.name == "lib" {
            ""
        } else {
            room.name.as_str()
        };
        let mut imported = BTreeSet::new();
        for line in room.code.lines() {
            // A visibility is no import.
            let line = line.replace("(in crate::", "(in ");
            let faces = line.trim().strip_prefix("pub use ");
            let paths = line.split("crate::").skip(1).map(|path| path_of("", path));
            let paths = paths.chain(faces.map(|path| path_of(here, path)));
            let rooms: BTreeSet<&str> = paths.filter_map(|path| self.room_of(&path)).collect();
            // Nor is it one to hand on the names of those beneath.
            let beneath = format!("{here}/");
            let hands_on = |other: &&str| faces.is_some() && other.starts_with(&beneath);
            imported.extend(rooms.into_iter().filter(|other| !hands_on(other)));
        }
        imported.remove(room.name.as_str());
        imported
    }

    /// The file that a path leads into: the longest part of it that is one.
    fn room_of(&self, path: &[String]) -> Option<&str> {
        let parts = (1..=path.len()).rev().map(|end| path[..end].join("/"));
        parts
            .into_iter()
            .find_map(|name| self.names.get(&name).map(String::as_str))
    }
}

fn room_name(room: &Room) -> &str {
    &room.name
}

/// The segments of a path, from the crate's root; what is in braces is left out.
fn path_of(from: &str, path: &str) -> Vec<String> {
    let from = from.split('/').filter(|part| !part.is_empty());
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let path = path[..end.unwrap_or(path.len())].split("::");
    let path = path.filter(|part| !part.is_empty() && *part != "self");
    from.chain(path).map(str::to_owned).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]").next().unwrap_or(text);
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines: Vec<&str> = code.lines().filter(is_code).collect();
    lines.join("\n")
}

/// The rooms from which a room can be reached that it reaches.
fn circle(imports: &BTreeMap<&str, BTreeSet<&str>>) -> Option<Vec<String>> {
    fn walk<'a>(
        room: &'a str,
        imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|passed| *passed == room) {
            return Some(way[at..].iter().map(ToString::to_string).collect());
        }
        if !done.insert(room) {
            return None;
        }
        way.push(room);
        let found = (imports.get(room).into_iter().flatten())
            .find_map(|next| walk(next, imports, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    let mut starts = imports.keys();
    starts.find_map(|room| walk(room, imports, &mut Vec::new(), &mut done))
}

/// The floor of a room in core, the ground first.
fn floor(room: &str) -> usize {
    match room.split('/').next() {
        Some("machine") => 1,
        Some("ports") => 2,
        Some("driver" | "unsync") => 3,
        _ => 4,
    }
}

#[test]
fn no_rooms_import_each_other() {
    for package in ["core", "adapters"] {
        let house = House::of(package);
        let imports = house.imports();
        let arrows: usize = imports.values().map(BTreeSet::len).sum();
        assert!(arrows > 50, "{package}: only {arrows} imports were found");
        assert_eq!(circle(&imports), None, "a circle in {package}");
    }
}

#[test]
fn imports_run_down() {
    let house = House::of("core");
    let mut up = Vec::new();
    for (room, imported) in house.imports() {
        let higher = imported
            .into_iter()
            .filter(|other| floor(other) > floor(room));
        up.extend(higher.map(|other| format!("{room} -> {other}")));
    }
    assert_eq!(up, Vec::<String>::new());
}

#[test]
fn the_two_drivers_know_nothing_of_each_other() {
    let house = House::of("core");
    let mut beside = Vec::new();
    for (room, imported) in house.imports() {
        let driver = |room: &str| room.split('/').next().map(str::to_owned);
        let other = |other: &&str| floor(other) == 3 && driver(other) != driver(room);
        let others = imported.into_iter().filter(|room| other(room));
        if floor(room) == 3 {
            beside.extend(others.map(|other| format!("{room} -> {other}")));
        }
    }
    assert_eq!(beside, Vec::<String>::new());
}

#[test]
fn no_folder_has_more_than_a_dozen_files() {
    for package in ["core", "adapters"] {
        let mut folders: BTreeMap<String, usize> = BTreeMap::new();
        for room in House::of(package).rooms {
            let folder = room.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            *folders.entry(folder.to_owned()).or_default() += 1;
        }
        folders.retain(|_, files| *files > 12);
        assert_eq!(folders, BTreeMap::new(), "in {package}");
    }
}

#[test]
fn no_file_has_more_than_450_lines_before_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut long = Vec::new();
    for package in ["core", "adapters", "runtime-tokio", "runtime-smol"] {
        for path in sources(&root.join(package).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text
                .lines()
                .take_while(|line| *line != "#[cfg(test)]")
                .count();
            if lines > 450 {
                long.push((path, lines));
            }
        }
    }
    assert_eq!(long, Vec::new());
}

/// Then its fields can be private.
#[test]
fn a_types_own_methods_stand_in_its_file_or_beneath() {
    for package in ["core", "adapters"] {
        let house = House::of(package);
        let mut homes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut impls = Vec::new();
        for room in &house.rooms {
            for line in room.code.lines() {
                if let Some(name) = defined(line) {
                    homes.entry(name).or_default().push(&room.name);
                }
                if let Some(name) = implemented(line) {
                    impls.push((name, room.name.as_str()));
                }
            }
        }
        assert!(
            impls.len() > 40,
            "{package}: only {} were found",
            impls.len()
        );
        let strays: Vec<_> = impls
            .into_iter()
            .filter(|(name, room)| {
                let at_home = |home: &&str| {
                    let beneath = room.strip_prefix(*home).unwrap_or("no");
                    beneath.is_empty() || beneath.starts_with('/')
                };
                homes
                    .get(name)
                    .is_some_and(|homes| !homes.iter().any(at_home))
            })
            // It makes a builder, which stands above the cache that it builds.
            .filter(|stray| *stray != ("Cache", "driver/builder/node"))
            .collect();
        assert_eq!(strays, Vec::new(), "in {package}");
    }
}

/// The type that this line defines.
fn defined(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| matches!(*word, "struct" | "enum"))?;
    let visibility =
        |word: &&&str| word.starts_with("pub") || word.ends_with(')') || **word == "in";
    let only_visibility = words[..at].iter().filter(visibility).count() == at;
    only_visibility.then(|| type_name(words.get(at + 1).copied().unwrap_or("")))
}

/// The type that this line begins to implement methods of, if it is no trait.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    if rest.contains(" for ") {
        return None;
    }
    let mut depth = 0;
    let end = rest.find(|c| {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        depth == 0 && c == ' '
    })?;
    let name = type_name(&rest[end + 1..]);
    (!name.is_empty()).then_some(name)
}

fn type_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

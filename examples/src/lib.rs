//! Programs that use jetcache; they are in `src/bin`. This library is where the README and the guides are
//! tested: as programs that depend on a runtime crate, and on nothing beneath it.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]

#[cfg(doctest)]
mod guides {
    macro_rules! pages {
        ($($name:ident: $file:literal)*) => {$(
            #[doc = include_str!(concat!("../../core/src/guide/", $file))]
            pub struct $name;
        )*};
    }

    pages! {
        FirstSteps: "use/first_steps.md"
        ChangingRows: "use/changing_rows.md"
        ManyKeys: "use/many_keys.md"
        Tags: "use/tags.md"
        Codecs: "use/codecs.md"
        Engines: "use/engines.md"
        Macros: "use/macros.md"
        Settings: "use/settings.md"
        Testing: "use/testing.md"
        SeveralNodes: "run/several_nodes.md"
        WhenThingsBreak: "run/when_things_break.md"
        Metrics: "run/metrics.md"
        Redis: "run/redis.md"
        WithGo: "run/with_go.md"
        FromMoka: "from/moka.md"
        FromCached: "from/cached.md"
        FromFusionCache: "from/fusion_cache.md"
        FromJetcacheGo: "from/jetcache_go.md"
        Ports: "own/ports.md"
        Faq: "faq.md"
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Each page is tested above, but for those that the core tests itself.
    #[test]
    fn no_page_of_the_guide_is_left_untested() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/guide");
        let tested = include_str!("lib.rs");
        let mut pages = 0;
        for page in files(&guide) {
            let name = page.strip_prefix(&guide).expect("it is below");
            let name = name.to_str().expect("names are plain");
            pages += 1;
            let by_core = ["one_thread.md", "threads.md"].contains(&name);
            assert!(
                by_core || tested.contains(&format!(": \"{name}\"")),
                "{name}"
            );
        }
        assert!(pages > 12, "{pages}");
    }

    /// What is copied from the docs of a driver's item compiles in a program on a runtime crate: a hidden
    /// line lends the examples its name.
    #[test]
    fn no_example_of_the_driver_names_a_crate_beneath() {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/driver");
        for file in files(&driver) {
            let text = fs::read_to_string(&file).expect("sources are text");
            let wrong = text.lines().find(|line| {
                let shown = line.trim_start().strip_prefix("/// ");
                shown.is_some_and(|code| code.starts_with("use jetcache_core"))
            });
            assert_eq!(wrong, None, "{}", file.display());
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("the guide's folder");
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files.extend(self::files(&path));
            } else {
                files.push(path);
            }
        }
        files
    }
}

//! The number of the last raise of each scope, and when this node heard of it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::machine::generations::heard::Heard;
use crate::machine::generations::scope::{Mark, Scope};

/// A row a scope, in pages of 256 that are made when the first of theirs is raised: 4 KiB each, 1 MiB
/// for all tags and as much for all keys.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    all: Row,
    tags: Pages,
    keys: Pages,
}

/// What is known of a scope.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// The highest number of its raises.
    pub(super) mark: Mark,
    /// Its last news; zero if it never had any.
    pub(super) news: Heard,
}

#[derive(Clone, Debug)]
struct Pages(Vec<Option<Box<[Row; PAGE]>>>);

impl Marks {
    pub(super) const fn new() -> Self {
        let none = Row {
            mark: Mark::NONE,
            news: Heard::new(0),
        };
        Self {
            all: none,
            tags: Pages(Vec::new()),
            keys: Pages(Vec::new()),
        }
    }

    pub(super) fn row(&self, scope: Scope) -> Row {
        match scope {
            Scope::All => self.all,
            Scope::Tag(bucket) => self.tags.row(bucket),
            Scope::Key(bucket) => self.keys.row(bucket),
        }
    }

    pub(super) fn row_mut(&mut self, scope: Scope) -> &mut Row {
        match scope {
            Scope::All => &mut self.all,
            Scope::Tag(bucket) => self.tags.row_mut(bucket),
            Scope::Key(bucket) => self.keys.row_mut(bucket),
        }
    }

    /// All that were raised.
    pub(super) fn raised(&self) -> impl Iterator<Item = (Scope, Mark)> + '_ {
        let all = (Scope::All, self.all);
        let tags = self.tags.rows().map(|(at, row)| (Scope::Tag(at), row));
        let keys = self.keys.rows().map(|(at, row)| (Scope::Key(at), row));
        let rows = core::iter::once(all).chain(tags).chain(keys);
        rows.map(|(scope, row)| (scope, row.mark))
            .filter(|(_, mark)| *mark > Mark::NONE)
    }
}

impl Pages {
    fn row(&self, bucket: u16) -> Row {
        let [page, at] = bucket.to_be_bytes();
        let page = self.0.get(usize::from(page)).and_then(Option::as_ref);
        page.map_or_else(Row::default, |page| page[usize::from(at)])
    }

    fn row_mut(&mut self, bucket: u16) -> &mut Row {
        let [page, at] = bucket.to_be_bytes();
        if self.0.is_empty() {
            self.0.resize_with(PAGE, || None);
        }
        let page = &mut self.0[usize::from(page)];
        &mut page.get_or_insert_with(|| Box::new([Row::default(); PAGE]))[usize::from(at)]
    }

    fn rows(&self) -> impl Iterator<Item = (u16, Row)> + '_ {
        let pages = self
            .0
            .iter()
            .zip(0..=u8::MAX)
            .filter_map(|(page, at)| Some((page.as_ref()?, at)));
        pages.flat_map(|(rows, page)| {
            let rows = rows.iter().zip(0..=u8::MAX);
            rows.map(move |(row, at)| (u16::from_be_bytes([page, at]), *row))
        })
    }
}

const PAGE: usize = 256;

//! The shop as its clients know it: a process that answers HTTP, beside Redis servers of the tests' own
//! and under a browser.

mod api;
mod browser;
mod exposition;
mod nodes;
mod outage;
mod page;
mod process;
mod scrape;

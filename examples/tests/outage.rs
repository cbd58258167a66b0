//! The outage has four phases, and nobody gets an error in any of them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Output};

fn outage(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outage"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn it_goes_from_l2_to_the_loader_and_back_without_an_error() {
    let output = outage(&["--phase-ms", "1000"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{errors}{text}");

    let mut last = 0;
    for (phase, from_l2, is_closed) in [
        ("before", Some(true), true),
        // What was under way when it began to hang may have been answered.
        ("L2 hangs", None, false),
        ("L2 answers errors", Some(false), false),
        ("back", Some(true), true),
    ] {
        let at = text.find(&format!("\n{phase} ")).expect(phase);
        assert!(at >= last, "{text}");
        last = at;
        let row = text[at + 1 + phase.len()..].lines().next().unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        let &[
            calls,
            _p50,
            _p99,
            _worst,
            l1,
            l2,
            loader,
            _shared,
            errors,
            breaker,
        ] = &cells[..]
        else {
            panic!("{row}");
        };
        assert_ne!(calls, "0", "{text}");
        assert_ne!(l1, "0.0%", "{text}");
        if let Some(from_l2) = from_l2 {
            assert_eq!(l2 != "0.0%", from_l2, "{phase}: {text}");
            assert!(from_l2 || loader != "0.0%", "{phase}: {text}");
        }
        assert_eq!(errors, "0", "{text}");
        assert_eq!(breaker == "Closed", is_closed, "{phase}: {text}");
    }
    assert!(text.contains("No caller got an error."), "{text}");
}

#[test]
fn what_it_cannot_understand_is_refused() {
    for arguments in [&["--color"][..], &["--phase-ms"], &["--phase-ms", "x"]] {
        assert_eq!(outage(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

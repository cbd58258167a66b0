//! `top`: nodes by their metrics, one of them away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::process::{command, jetcache};

/// A node whose figures grow with each scrape, for as long as the test runs.
fn node(text: fn(u64) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scrapes = AtomicU64::new(0);
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(
                stream.unwrap(),
                &text(scrapes.fetch_add(1, Ordering::SeqCst)),
            );
        }
    });
    format!("http://{address}/metrics")
}

fn answer(mut stream: TcpStream, body: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        request.push(byte[0]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn figures(scrape: u64) -> String {
    let (near, far, missed) = (scrape * 60, scrape * 30, scrape * 10);
    format!(
        "# HELP jetcache_lookups_total Lookups.\n\
         # TYPE jetcache_lookups_total counter\n\
         jetcache_lookups_total{{cache=\"users\",level=\"l1\",outcome=\"hit\"}} {near}\n\
         jetcache_lookups_total{{cache=\"users\",level=\"l1\",outcome=\"miss\"}} {missed}\n\
         jetcache_lookups_total{{cache=\"users\",level=\"l2\",outcome=\"hit\"}} {far}\n\
         jetcache_misses_total{{cache=\"users\"}} {missed}\n\
         jetcache_loads_total{{cache=\"users\",outcome=\"ok\"}} {missed}\n\
         jetcache_breaker_state{{cache=\"users\"}} 2\n\
         jetcache_bus_state{{cache=\"users\"}} 3\n\
         jetcache_entries{{cache=\"users\"}} 1234\n\
         jetcache_flights{{cache=\"users\"}} 5\n\
         jetcache_entries{{cache=\"orders\"}} 7\n\
         process_open_fds 12\n"
    )
}

#[test]
fn each_cache_of_each_node_has_a_line() {
    let (good, bare) = (node(figures), node(|_| "process_open_fds 12\n".to_owned()));
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = format!("http://{gone}/metrics");
    let ended = jetcache(&["top", "--once", "--every", "0.2", &good, &gone, &bare]);
    ended.is(0, &["lookups/s", "breaker"]);
    assert!(!ended.out.contains('\x1b'), "{}", ended.out);
    let lines: Vec<Vec<&str>> = (ended.out.lines().skip(1))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 4, "{}", ended.out);
    let [orders, users, down, none] = &lines[..] else {
        panic!("{}", ended.out);
    };
    let name = good
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    assert_eq!(users[..2], [name, "users"]);
    assert_eq!(
        users[3..5],
        ["60.0", "30.0"],
        "the parts that the levels answered"
    );
    let rate = |text: &str| text.parse::<f64>().unwrap();
    let (lookups, loads) = (rate(users[2]), rate(users[5]));
    assert!(
        lookups > 0.0 && (lookups / loads - 10.0).abs() < 0.5,
        "{}",
        ended.out
    );
    assert_eq!(users[8..], ["open", "down", "1234", "5"]);
    assert_eq!((orders[1], orders[2], orders[10]), ("orders", "-", "7"));
    assert_eq!(down[1], "down:", "{}", ended.out);
    assert!(none.join(" ").ends_with("has no metrics of jetcache"));
}

#[test]
fn it_fails_if_no_node_answers() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = jetcache(&["top", "--once", "--every", "0.1", &gone.to_string()]);
    ended.is(1, &["down: ", "no node answers"]);
}

#[test]
fn the_table_is_drawn_again_and_again() {
    let (good, arguments) = (node(figures), ["top", "--every", "0.05"]);
    let mut child = command(&[&arguments[..], &[&good]].concat())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut tables, mut line) = (0, String::new());
    while tables < 3 {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it has ended");
        // What clears a screen is for a terminal, which this is not.
        assert!(!line.contains('\x1b'), "{line:?}");
        tables += usize::from(line.starts_with("node "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

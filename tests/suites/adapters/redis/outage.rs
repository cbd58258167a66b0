//! Redis is killed, restarted and paused, and runtimes end.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jetcache_adapters::Redis;
use jetcache_core::ports::remote::{Ensure, Hold, Mark, Raise, Scope, Settle, Wire};
use jetcache_core::{Fault, Remote, Token};
use jetcache_tests::redis_server::RedisServer;

use crate::adapters::verbs::{T, claim, fill, lease, many, read, single, stored};

/// After a restart the first call succeeds, whatever it is, on each connection and each time.
async fn the_first_call_after_a_restart_succeeds() {
    let mut server = RedisServer::start();
    let redis = Redis::builder(server.url()).connections(2).open().unwrap();
    for round in 0..5_u128 {
        for at in 0..4_u128 {
            let token = Token::from_bits(1 + round * 10 + at);
            assert!(claim(&redis, "ns:k", token).await.unwrap(), "{round} {at}");
        }
        server.kill();
        server.restart();
    }
    read(&redis, "ns:k").await.unwrap();
}

#[test]
fn the_first_call_after_a_restart_succeeds_on_tokio() {
    many().block_on(the_first_call_after_a_restart_succeeds());
}

#[test]
fn the_first_call_after_a_restart_succeeds_on_a_single_thread() {
    single().block_on(the_first_call_after_a_restart_succeeds());
}

#[test]
fn the_first_call_after_a_restart_succeeds_on_smol() {
    smol::block_on(the_first_call_after_a_restart_succeeds());
}

#[test]
fn a_call_without_a_server_is_a_fault() {
    let mut server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    server.kill();
    many().block_on(async {
        assert!(matches!(
            claim(&redis, "ns:k", T).await,
            Err(Fault::Unreachable(_))
        ));
        assert!(matches!(
            read(&redis, "ns:k").await,
            Err(Fault::Unreachable(_))
        ));
        server.restart();
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        server.kill();
        assert!(matches!(
            lease(&redis, "ns:k", T).await,
            Err(Fault::Unreachable(_))
        ));
        server.restart();
        assert!(lease(&redis, "ns:k", T).await.unwrap().is_granted());
    });
}

#[test]
fn a_connection_of_a_runtime_that_ended_is_replaced() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    for make in [many, single] {
        for n in 2..6_u128 {
            assert!(
                make()
                    .block_on(claim(&redis, "ns:k", Token::from_bits(n)))
                    .unwrap()
            );
            assert!(
                make()
                    .block_on(lease(&redis, "ns:l", T))
                    .unwrap()
                    .is_granted()
            );
        }
    }
    assert!(smol::block_on(claim(&redis, "ns:k", T)).unwrap());
    assert!(single().block_on(claim(&redis, "ns:k", T)).unwrap());
}

#[test]
fn the_connections_of_runtimes_that_ended_are_forgotten() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    for _ in 0..10 {
        assert!(single().block_on(claim(&redis, "ns:k", T)).unwrap());
    }
    let shown = format!("{redis:?}");
    assert!(shown.contains("runtimes: 1,"), "{shown}");
}

#[test]
fn a_runtime_that_stands_still_holds_up_no_other() {
    let server = RedisServer::start();
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    let still = single();
    assert!(still.block_on(claim(&redis, "ns:k", T)).unwrap());
    assert!(single().block_on(claim(&redis, "ns:k", T)).unwrap());
    assert!(smol::block_on(claim(&redis, "ns:k", T)).unwrap());
    assert!(still.block_on(claim(&redis, "ns:k", T)).unwrap());
    let clients = server.cli(&["CLIENT", "LIST"]);
    // The second runtime's connections went with it; those of the first and of smol still stand.
    assert_eq!(clients.matches(" name=jetcache ").count(), 2, "{clients}");
}

/// A server that answers the greeting and hangs up on every other command. Returns what it was
/// sent.
fn rude_server() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(String::new()));
    let ears = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 10_000];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]);
                ears.lock().unwrap().push_str(&text);
                if ["MGET", "EVALSHA", "ZRANGE"]
                    .iter()
                    .any(|command| text.contains(command))
                {
                    break;
                }
                let commands = text.matches('*').count();
                stream
                    .write_all("+OK\r\n".repeat(commands).as_bytes())
                    .unwrap();
            }
        }
    });
    (url, heard)
}

#[test]
fn only_what_may_be_sent_twice_is() {
    let (url, heard) = rude_server();
    let redis = Redis::builder(url)
        .connections(1)
        .client_name("")
        .open()
        .unwrap();
    let count = |command: &str| heard.lock().unwrap().matches(command).count();
    many().block_on(async {
        assert!(read(&redis, "ns:k").await.is_err());
        assert_eq!(count("MGET"), 2, "read");
        assert!(lease(&redis, "ns:k", T).await.is_err());
        assert_eq!(count("MGET"), 3, "lease");
        assert!(redis.remove(&["ns:k"]).await.remove(0).is_err());
        assert_eq!(count("EVALSHA"), 2, "remove");
        assert!(
            redis
                .release(&[Hold::of("ns:k", T)])
                .await
                .remove(0)
                .is_err()
        );
        assert_eq!(count("EVALSHA"), 4, "release");
        let (namespace, clock) = ("ns:", Mark::NONE);
        let scopes = &[Scope::All];
        let raise = Raise {
            namespace,
            clock,
            scopes,
        };
        assert!(redis.raise(&raise).await.is_err());
        assert_eq!(count("EVALSHA"), 6, "raise");
        let marks = &[];
        let ensure = Ensure {
            namespace,
            clock,
            marks,
        };
        assert!(redis.ensure(&ensure).await.is_err());
        assert_eq!(count("EVALSHA"), 8, "ensure");
        assert!(redis.news(namespace, clock).await.is_err());
        assert_eq!(count("ZRANGE"), 2, "news");
        assert!(claim(&redis, "ns:k", T).await.is_err());
        assert_eq!(count("EVALSHA"), 9, "claim");
        assert!(fill(&redis, "ns:k", T, b"v").await.is_err());
        assert_eq!(count("EVALSHA"), 10, "fill");
        let settle = Settle {
            key: "ns:k",
            token: Some(T),
            value: stored(b"v"),
        };
        assert!(
            redis
                .settle(&[settle], Wire::Native)
                .await
                .remove(0)
                .is_err()
        );
        assert_eq!(count("EVALSHA"), 11, "settle");
    });
}

#[test]
fn an_attempt_of_a_runtime_that_ended_is_replaced() {
    let server = RedisServer::start();
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    let runtime = single();
    runtime.block_on(async {
        // One poll is enough to start the attempt, and too short to finish it.
        let mut call = Box::pin(claim(&redis, "ns:k", T));
        let waker = std::task::Waker::noop();
        assert!(
            call.as_mut()
                .poll(&mut std::task::Context::from_waker(waker))
                .is_pending()
        );
    });
    drop(runtime);
    assert!(single().block_on(claim(&redis, "ns:k", T)).unwrap());
}

#[test]
fn callers_that_give_up_leave_the_attempt_to_those_who_follow() {
    let server = RedisServer::start();
    let redis = Redis::builder(server.url())
        .connections(1)
        .connect_timeout(Duration::from_secs(30))
        .open()
        .unwrap();
    many().block_on(async {
        server.pause();
        for _ in 0..3 {
            let call = claim(&redis, "ns:k", T);
            assert!(
                tokio::time::timeout(Duration::from_millis(20), call)
                    .await
                    .is_err()
            );
        }
        server.resume();
        assert!(claim(&redis, "ns:k", T).await.unwrap());
    });
    let received = server.cli(&["INFO", "stats"]);
    // One for the launcher's PING, one for this client, one for this question.
    assert!(
        received.contains("total_connections_received:3\r"),
        "{received}"
    );
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    many().block_on(async {
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        server.pause();
        for _ in 0..4 {
            let call = read(&redis, "ns:k");
            assert!(
                tokio::time::timeout(Duration::from_millis(20), call)
                    .await
                    .is_err()
            );
        }
        server.resume();
        assert!(read(&redis, "ns:k").await.unwrap().is_none());
    });
}

#[test]
fn a_connection_that_the_server_closes_is_replaced() {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).unwrap();
    single().block_on(async {
        for n in 2..10_u128 {
            assert!(claim(&redis, "ns:k", Token::from_bits(n)).await.unwrap());
            server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
    });
}

#[test]
fn a_primary_that_became_a_replica_is_left() {
    let server = RedisServer::start();
    let redis = Redis::builder(server.url()).connections(1).open().unwrap();
    many().block_on(async {
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
        assert!(matches!(
            claim(&redis, "ns:k", T).await,
            Err(Fault::Refused(_))
        ));
        let before = server.cli(&["CLIENT", "LIST"]);
        server.cli(&["REPLICAOF", "NO", "ONE"]);
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        let after = server.cli(&["CLIENT", "LIST"]);
        let id = |list: &str| {
            let line = list
                .lines()
                .find(|line| line.contains("name=jetcache"))
                .map(str::to_owned);
            line.and_then(|line| line.split(' ').next().map(str::to_owned))
        };
        assert!(
            id(&after).is_some() && id(&before) != id(&after),
            "{before}\n{after}"
        );
    });
}

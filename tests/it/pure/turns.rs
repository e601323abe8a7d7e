//! Whose turn it is: commands first, tenants never all of it, and nobody waits long in vain.

use std::time::{Duration, Instant};

use painel_api::turns::{Rank, Turns};
use tokio::{sync::mpsc, task::yield_now, time::sleep};

/// How long a burst is waited out.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long nobody must wait in vain until bursts are waited out again, and some more.
const CALM: Duration = Duration::from_millis(1_100);

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn commands_come_before_operators_and_those_before_tenants() {
    run(async {
        let turns = Turns::new(4);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(turns.wait(Rank::Operator).await.unwrap());
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        let ranks = [tenant(1), Rank::Operator, Rank::Command, tenant(1), Rank::Command, Rank::Operator];
        for rank in ranks {
            let (turns, tell) = (turns.clone(), tell.clone());
            tokio::spawn(async move {
                let turn = turns.wait(rank).await.unwrap();
                tell.send(rank).unwrap();
                drop(turn);
            });
            yield_now().await;
        }
        held.pop();
        let mut order = Vec::new();
        for _ in ranks {
            order.push(told.recv().await.unwrap());
        }
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted);
    });
}

#[test]
fn a_quarter_is_operators_reads_alone_whoever_has_the_rest() {
    run(async {
        let (tenant, command): (Ranked, Ranked) = (tenant, command);
        for others in [[tenant, tenant], [command, command], [tenant, command]] {
            let turns = Turns::new(8);
            let mut held = Vec::new();
            for (n, other) in (0..6).zip(others.into_iter().cycle()) {
                held.push(turns.wait(other(n)).await.unwrap());
            }
            for other in others {
                assert!(turns.wait(other(6)).await.is_err());
            }
            held.push(turns.wait(Rank::Operator).await.unwrap());
            held.push(turns.wait(Rank::Operator).await.unwrap());
            assert!(turns.wait(Rank::Operator).await.is_err(), "all eight are taken");
            held.pop();
            assert!(turns.wait(others[0](7)).await.is_err(), "that one is none of theirs");
            held.remove(0);
            held.push(turns.wait(others[0](7)).await.unwrap());
        }
        let few = Turns::new(2);
        let _held = few.wait(Rank::Command).await.unwrap();
        assert!(few.wait(Rank::Command).await.is_err(), "of few one is operators'");
        few.wait(Rank::Operator).await.unwrap();
    });
}

/// The rank of the one with that number.
type Ranked = fn(u128) -> Rank;

fn tenant(n: u128) -> Rank {
    Rank::Tenant(uuid::Uuid::from_u128(n).into())
}

fn command(_: u128) -> Rank {
    Rank::Command
}

#[test]
fn no_tenant_has_more_than_an_eighth_and_who_waits_for_that_is_in_nobodys_way() {
    run(async {
        let turns = Turns::new(16);
        let mut loud = vec![turns.wait(tenant(1)).await.unwrap(), turns.wait(tenant(1)).await.unwrap()];
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.wait(tenant(1)).await }
        });
        yield_now().await;
        let mut others = Vec::new();
        for n in 2..12 {
            others.push(turns.wait(tenant(n)).await.unwrap());
        }
        loud.pop();
        let next = waiting.await.unwrap();
        assert!(next.is_ok(), "its turn comes when one of its own ends");
        assert!(turns.wait(tenant(1)).await.is_err());
        let began = Instant::now();
        assert!(turns.wait(tenant(50)).await.is_err(), "all twelve are taken");
        assert!(began.elapsed() >= PATIENCE, "that the loud one's queue stands makes nobody else hurry");
    });
}

#[test]
fn tenants_who_wait_in_vain_make_neither_commands_nor_operators_hurry() {
    run(async {
        let turns = Turns::new(4);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.wait(Rank::Command).await.unwrap());
        }
        held.push(turns.wait(Rank::Operator).await.unwrap());
        for n in 0..3 {
            assert!(turns.wait(tenant(n)).await.is_err());
        }
        for rank in [Rank::Command, Rank::Operator] {
            let began = Instant::now();
            assert!(turns.wait(rank).await.is_err());
            assert!(began.elapsed() >= PATIENCE, "{rank:?}");
        }
    });
}

#[test]
fn a_burst_is_waited_out_and_a_queue_that_stands_is_cut_off() {
    run(async {
        let turns = Turns::new(1);
        let held = turns.wait(Rank::Operator).await.unwrap();
        let waited = async || {
            let began = Instant::now();
            assert!(turns.wait(Rank::Operator).await.is_err());
            began.elapsed()
        };
        assert!(waited().await >= PATIENCE, "nobody has waited in vain before");
        let mut shortest = Duration::MAX;
        let deadline = Instant::now() + Duration::from_secs(60);
        while shortest >= PATIENCE / 2 {
            assert!(Instant::now() < deadline, "the shortest wait was {shortest:?}");
            shortest = shortest.min(waited().await);
        }
        drop(held);
        let calm = Instant::now();
        while calm.elapsed() < CALM {
            drop(turns.wait(Rank::Operator).await.unwrap());
            sleep(Duration::from_millis(20)).await;
        }
        let _held = turns.wait(Rank::Operator).await.unwrap();
        assert!(waited().await >= PATIENCE, "the queue stands no more");
    });
}

#[test]
fn a_turn_that_nobody_takes_any_more_goes_to_the_next() {
    run(async {
        let turns = Turns::new(1);
        let held = turns.wait(Rank::Operator).await.unwrap();
        let mut waiting: Vec<_> = (0..5)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.wait(Rank::Operator).await.map(drop) })
            })
            .collect();
        yield_now().await;
        for gone in waiting.drain(..4) {
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        drop(held);
        assert!(waiting.pop().unwrap().await.unwrap().is_ok());
        drop(turns.wait(Rank::Command).await.unwrap());
    });
}

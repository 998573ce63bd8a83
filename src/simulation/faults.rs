//! What befalls a world until the faults end.

use super::engine::{self, Millis, Owner, between, note, one_in, one_of};
use super::replica::{Replica, StoreKind, any_offset};
use super::world::World;
use super::{journal, redis};
use std::rc::Rc;

/// How many faults a world has at most.
const FAULTS: i64 = 6;

/// Faults at any time, one after the other or several at once.
pub(super) async fn befall(world: &Rc<World>, end: Millis) {
    let mut times: Vec<_> = (0..between(0, FAULTS)).map(|_| between(500, end - 1000)).collect();
    times.sort_unstable();
    for time in times {
        engine::sleep(time - engine::now()).await;
        engine::spawn(engine::WORLD, one(Rc::clone(world), end));
    }
}

async fn one(world: Rc<World>, end: Millis) {
    let replica = engine::below(world.replicas.len() as u64) as usize;
    let choices = if world.setting.store == StoreKind::Redis { 16 } else { 8 };
    if world.setting.at_the_edge && !one_in(4) {
        return wobble(end).await;
    }
    match engine::below(choices) {
        0 => set_clock(&world.replicas[replica], any_offset()),
        1 => set_clock(&world.replicas[replica], between(-5500, 5500)),
        2 => all_clocks(&world),
        3 | 4 => crash(&world, replica, end).await,
        5 => stop(world.replicas[replica].owner, end).await,
        6 => step_and_return(&world.replicas[replica], end).await,
        7 => wrong_start(&world, replica, end).await,
        8 | 9 => lose_data(end).await,
        10 => flush(),
        11 | 12 => fail_over(end).await,
        13 => jump(),
        14 => fill(end).await,
        _ => disturb(&world, end).await,
    }
    // Right after something happened is when to try.
    for _ in 0..between(1, 3) {
        world.resend_some().await;
        engine::sleep(one_of(&[10, 200, 1000, 3000, 6000])).await;
    }
}

fn set_clock(replica: &Replica, offset: i64) {
    let drift = if one_in(4) { between(-20_000, 20_000) } else { 0 };
    note(|| {
        format!(
            "replica {}'s clock is set {offset} ms from the truth, and drifts by {drift} ppm",
            replica.owner
        )
    });
    engine::set_clock(replica.owner, offset, drift);
}

/// A whole site is set by one wrong source of time.
fn all_clocks(world: &World) {
    let offset = any_offset();
    world.replicas.iter().for_each(|replica| set_clock(replica, offset));
}

/// Wrong for a while, then right.
async fn step_and_return(replica: &Replica, end: Millis) {
    set_clock(replica, any_offset());
    engine::sleep(between(0, 15_000).min(end - engine::now())).await;
    set_clock(replica, between(-2000, 2000));
}

async fn crash(world: &World, replica: usize, end: Millis) {
    let replica = &world.replicas[replica];
    let offset = engine::offset(replica.owner);
    replica.kill();
    journal::suffer(replica);
    engine::sleep(between(0, 4000).min(end - engine::now())).await;
    if !replica.is_running() {
        replica.start(if one_in(3) { offset + between(-9000, 9000) } else { offset });
    }
}

/// A machine that starts with a wrong clock, which is set right later.
async fn wrong_start(world: &World, replica: usize, end: Millis) {
    let replica = &world.replicas[replica];
    replica.kill();
    engine::sleep(between(0, 2000).min(end - engine::now())).await;
    if !replica.is_running() {
        replica.start(any_offset());
        engine::sleep(between(0, 12_000).min(end - engine::now())).await;
        set_clock(replica, between(-2000, 2000));
    }
}

/// `SIGSTOP`, or the machine sleeps.
async fn stop(owner: Owner, end: Millis) {
    let length = between(100, 25_000).min(end - engine::now()).max(0);
    let sleeps = one_in(2);
    note(|| {
        format!("replica {owner} {} for {length} ms", if sleeps { "is suspended" } else { "is stopped" })
    });
    engine::stop(owner, sleeps);
    engine::sleep(length).await;
    engine::resume(owner);
}

async fn lose_data(end: Millis) {
    let lost = if one_in(2) { None } else { Some(one_of(&[0, 1000, between(0, 10_000)])) };
    note(|| format!("Redis dies; what it loses: {lost:?}"));
    redis::kill();
    engine::sleep(between(0, 3000).min(end - engine::now())).await;
    redis::restart(lost);
}

fn flush() {
    note(|| "FLUSHALL".to_owned());
    redis::flush();
}

async fn fail_over(end: Millis) {
    redis::kill();
    engine::sleep(between(0, 2000).min(end - engine::now())).await;
    let (lag, difference) = (between(0, 3000), between(-super::SERVERS_DIFFER, super::SERVERS_DIFFER));
    note(|| format!("Redis fails over; {lag} ms are lost, and the clock is another by {difference} ms"));
    redis::fail_over(lag, difference);
}

fn jump() {
    let by = one_of(&[1900, -1900, 1000, 2500, -2500, 6000, 20_000, between(-5000, 5000)]);
    note(|| format!("Redis's clock jumps by {by} ms"));
    redis::jump(by);
}

/// Redis's clock jumps by almost as much as is borne, and back.
async fn wobble(end: Millis) {
    for by in [-1950, 1950] {
        note(|| format!("Redis's clock jumps by {by} ms"));
        redis::jump(by);
        engine::sleep(between(100, 3000).min(end - engine::now())).await;
    }
}

async fn fill(end: Millis) {
    note(|| "Redis is full".to_owned());
    redis::fill(true);
    engine::sleep(between(0, 5000).min(end - engine::now())).await;
    redis::fill(false);
}

async fn disturb(world: &World, end: Millis) {
    match engine::below(4) {
        0 => redis::stall(between(0, 4000)),
        1 => redis::cut(one_of(&world.owners()), between(0, 5000)),
        _ => {
            redis::disturb(one_of(&[0, 3, 10]), one_in(2));
            engine::sleep(between(0, 6000).min(end - engine::now())).await;
            redis::disturb(0, false);
        }
    }
}

/// All is well from now on, and after a while the law is that clients pass.
pub(super) async fn mend(world: &World) {
    // What had begun by then ends with its end.
    engine::sleep(1).await;
    redis::heal();
    redis::jump(-redis::offset());
    let bears = world.setting.bears().as_millis() as i64;
    for replica in &world.replicas {
        engine::resume(replica.owner);
        let right = between(-bears, bears).clamp(-4500, 4500);
        if replica.is_running() {
            note(|| format!("replica {}'s clock is set right, {right} ms from the truth", replica.owner));
            engine::set_clock(replica.owner, right, 0);
        } else {
            replica.kill();
            replica.start(right);
        }
    }
    // Time to connect anew. Nobody needs to wait for a clock: what a challenge hands out satisfies it.
    engine::sleep(3000).await;
}

/// With `on_start: wait` no replica is asked before it is ready.
pub(super) async fn wait_until_all_are_ready(world: &World) {
    // A client's clock may be behind by what is borne, and the replica's ahead.
    let bears = 2 * world.setting.bears().as_millis() as i64;
    loop {
        let settled = |replica: &Replica| {
            let now = engine::clocks_of(replica.owner).wall.as_millis();
            replica.settled().map_or(0, |settled| settled.as_millis() + bears - now)
        };
        match world.replicas.iter().map(settled).max() {
            Some(left) if left > 0 => engine::sleep(left).await,
            _ => return,
        }
    }
}

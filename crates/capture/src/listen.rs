//! Interfaces and sockets: a thread each, and the sink where the job runs.
//!
//! What a thread says goes through a bounded queue. When the sink is slower than the network the threads wait, the
//! rings fill, and the kernel counts what it drops: losses are shown, memory does not grow.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use domain::conversation::Flow;
use domain::observation::{Observation, Sink, SourceId, SourceKind};
use sense::records::{Context, Counts, netflow, sflow};
use sense::{Counters, Sensor};

use crate::job::{Report, Run};
use crate::live::{self, Polled, Queue};
use crate::progress::EVERY;
use crate::{Input, Options, Place, Problem, Watch, socket};

/// Messages under way from all threads.
const DEPTH: usize = 64;

/// How often time is said to have passed.
const TICK: Duration = Duration::from_secs(1);

/// Problems with datagrams that one socket describes.
const PROBLEMS_MAX: usize = 32;

#[derive(Default)]
struct Said {
    observations: Vec<Observation>,
    flows: Vec<Flow>,
}

impl Sink for Said {
    fn observe(&mut self, observation: Observation) {
        self.observations.push(observation);
    }

    fn flow(&mut self, flow: Flow) {
        self.flows.push(flow);
    }
}

enum Message {
    /// What was said, with packets, octets, records and drops since the last time.
    Said {
        said: Said,
        at: Option<domain::Timestamp>,
        packets: u64,
        octets: u64,
        records: u64,
        dropped: u64,
    },
    News(Problem),
    Ended(Box<Ended>),
}

#[derive(Default)]
struct Ended {
    name: String,
    packets: u64,
    sensor: Counters,
    records: Counts,
}

/// Runs until cancelled, or until nothing is left to listen to.
pub(crate) fn run(inputs: &[Input], run: &mut Run<'_>, watch: &Watch, sink: &mut impl Sink) {
    let (sender, receiver) = sync_channel::<Message>(DEPTH);
    let mut threads = Vec::new();
    let mut names = Vec::new();
    for input in inputs {
        let name = input.to_string();
        match input {
            Input::Interface(interface) => {
                let queues = match live::open(
                    interface,
                    run.options.queues,
                    run.options.ring_bytes,
                    run.options.promiscuous,
                ) {
                    Ok(queues) => queues,
                    Err(error) => {
                        let text = error.to_string();
                        let (what, remedy) = text.split_once(": ").unwrap_or((&text, ""));
                        run.problem(Problem::new(&name, Place::Whole, what, remedy));
                        continue;
                    }
                };
                let source = run.source(&name, SourceKind::Packets, None, sink);
                for (number, queue) in queues.into_iter().enumerate() {
                    let (sender, watch, options) =
                        (sender.clone(), watch.clone(), run.options.clone());
                    // One queue speaks of the interface for all.
                    threads.push(std::thread::spawn(move || {
                        interface_thread(queue, number == 0, source, &options, &watch, &sender)
                    }));
                }
            }
            Input::NetFlowSocket(addr) | Input::SFlowSocket(addr) => {
                let socket = match socket::open(*addr, &name) {
                    Ok(socket) => socket,
                    Err(problem) => {
                        run.problem(problem);
                        continue;
                    }
                };
                let context = Context {
                    source: run.source(&name, SourceKind::FlowRecords, None, sink),
                    at: run.options.now(),
                };
                let collector = match input {
                    Input::NetFlowSocket(_) => {
                        Collector::NetFlow(Box::new(netflow::Collector::new(context)))
                    }
                    _ => Collector::SFlow(Box::new(sflow::Collector::new(context))),
                };
                let (sender, watch, options, name) = (
                    sender.clone(),
                    watch.clone(),
                    run.options.clone(),
                    name.clone(),
                );
                threads.push(std::thread::spawn(move || {
                    socket_thread(&socket, collector, &name, &options, &watch, &sender)
                }));
            }
            Input::File(_) | Input::Folder(_) | Input::Stdin => continue,
        }
        names.push(name);
    }
    drop(sender);
    if names.is_empty() {
        return;
    }
    run.outcome.usable = true;
    run.meter.now.source = names.join(", ");
    run.meter.now.bytes_total = None;
    loop {
        match receiver.recv_timeout(EVERY / 2) {
            Ok(Message::Said {
                said,
                at,
                packets,
                octets,
                records,
                dropped,
            }) => {
                for observation in said.observations {
                    sink.observe(observation);
                }
                for flow in said.flows {
                    sink.flow(flow);
                }
                let now = &mut run.meter.now;
                now.packets += packets;
                now.bytes_done += octets;
                now.records += records;
                now.dropped += dropped;
                run.outcome.dropped += dropped;
                now.at = at.or(now.at);
            }
            Ok(Message::News(problem)) => run.problem(problem),
            Ok(Message::Ended(ended)) => {
                run.outcome.sensor.add(&ended.sensor);
                run.outcome.records.add(&ended.records);
                run.report(Report {
                    name: ended.name,
                    format: None,
                    compressed: false,
                    packets: ended.packets,
                    rows: ended.records.flows,
                    unknown: ended.records.unknown,
                    damaged: ended.records.damaged,
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // The threads see a cancellation themselves; what they still say is taken.
        run.meter.pulse();
    }
    for thread in threads {
        if thread.join().is_err() {
            run.problem(Problem::new(
                "a live source",
                Place::Whole,
                "a thread that listened failed",
                "this is a fault of the program: report it",
            ));
        }
    }
}

fn interface_thread(
    mut queue: Queue,
    speaks: bool,
    source: SourceId,
    options: &Options,
    watch: &Watch,
    sender: &SyncSender<Message>,
) {
    let mut sensor = Sensor::new(source, options.limits);
    let mut said = Said::default();
    let (mut packets, mut octets, mut dropped, mut at) = (0_u64, 0_u64, 0_u64, None);
    let mut sent = (0_u64, 0_u64, 0_u64);
    let (mut last_tick, mut last_send) = (Instant::now(), Instant::now());
    while !watch.is_cancelled() {
        let polled = queue.poll(EVERY / 2, |packet| {
            packets += 1;
            octets += packet.length as u64;
            at = Some(packet.at);
            sensor.packet(
                packet.at,
                packet.link,
                packet.bytes,
                packet.length,
                &mut said,
            );
        });
        let news = match polled {
            Polled::Down => Some((
                "the interface went down",
                "listening goes on when it is up again",
            )),
            Polled::Up => Some(("the interface is up again", "")),
            Polled::Packets(_) | Polled::Silence => None,
        };
        if let Some((what, remedy)) = news.filter(|_| speaks) {
            let _ = sender.send(Message::News(Problem::new(
                queue.name(),
                Place::Whole,
                what,
                remedy,
            )));
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            sensor.tick(options.now(), &mut said);
            dropped = queue.dropped();
        }
        let full = said.observations.len() + said.flows.len() >= 1024;
        if full || last_send.elapsed() >= EVERY / 2 {
            last_send = Instant::now();
            let message = Message::Said {
                said: std::mem::take(&mut said),
                at,
                packets: packets - sent.0,
                octets: octets - sent.1,
                records: 0,
                dropped: dropped - sent.2,
            };
            sent = (packets, octets, dropped);
            if sender.send(message).is_err() {
                return;
            }
        }
    }
    // What the ring still holds was captured before the end.
    queue.poll(Duration::ZERO, |packet| {
        packets += 1;
        octets += packet.length as u64;
        sensor.packet(
            packet.at,
            packet.link,
            packet.bytes,
            packet.length,
            &mut said,
        );
    });
    dropped = queue.dropped();
    sensor.finish(&mut said);
    let _ = sender.send(Message::Said {
        said,
        at,
        packets: packets - sent.0,
        octets: octets - sent.1,
        records: 0,
        dropped: dropped - sent.2,
    });
    let _ = sender.send(Message::Ended(Box::new(Ended {
        name: queue.name().to_owned(),
        packets,
        sensor: *sensor.counters(),
        records: Counts::default(),
    })));
}

enum Collector {
    NetFlow(Box<netflow::Collector>),
    SFlow(Box<sflow::Collector>),
}

fn socket_thread(
    socket: &std::net::UdpSocket,
    mut collector: Collector,
    name: &str,
    options: &Options,
    watch: &Watch,
    sender: &SyncSender<Message>,
) {
    let mut buffer = vec![0; socket::DATAGRAM_MAX];
    let mut said = Said::default();
    let (mut octets, mut records) = (0_u64, 0_u64);
    let mut problems = 0;
    let mut complained: HashSet<IpAddr> = HashSet::new();
    let mut last_send = Instant::now();
    while !watch.is_cancelled() {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                octets += length as u64;
                let datagram = buffer.get(..length).unwrap_or_default();
                let read = take(&mut collector, options, peer, datagram, &mut said);
                match read {
                    Ok(flows) => records += u64::from(flows),
                    // One word for each exporter, so that a broken one does not drown the others.
                    Err(problem) => {
                        let from = peer.ip();
                        if problems < PROBLEMS_MAX && complained.insert(from) {
                            problems += 1;
                            let what = format!("a datagram from {from}: {}", problem.what);
                            let _ = sender.send(Message::News(Problem::new(
                                name,
                                Place::Whole,
                                what,
                                problem.remedy,
                            )));
                        }
                    }
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock
                        | std::io::ErrorKind::TimedOut
                        | std::io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                let problem = Problem::new(
                    name,
                    Place::Whole,
                    format!("cannot be listened to: {error}"),
                    "check the network of this machine",
                );
                let _ = sender.send(Message::News(problem));
                break;
            }
        }
        let full = said.observations.len() + said.flows.len() >= 1024;
        if full || last_send.elapsed() >= EVERY / 2 {
            last_send = Instant::now();
            if sender
                .send(message(&mut said, &mut octets, &mut records))
                .is_err()
            {
                return;
            }
        }
    }
    let _ = sender.send(message(&mut said, &mut octets, &mut records));
    let _ = sender.send(Message::Ended(Box::new(Ended {
        name: name.to_owned(),
        records: match &collector {
            Collector::NetFlow(collector) => collector.counts(),
            Collector::SFlow(collector) => collector.counts(),
        },
        ..Ended::default()
    })));
}

fn take(
    collector: &mut Collector,
    options: &Options,
    peer: SocketAddr,
    datagram: &[u8],
    said: &mut Said,
) -> Result<u32, sense::records::Problem> {
    let at = options.now();
    match collector {
        Collector::NetFlow(collector) => collector
            .datagram(at, Some(peer.ip().to_canonical()), datagram, said)
            .map(|count| count.flows),
        Collector::SFlow(collector) => collector
            .datagram(at, datagram, said)
            .map(|count| count.flows),
    }
}

fn message(said: &mut Said, octets: &mut u64, records: &mut u64) -> Message {
    Message::Said {
        said: std::mem::take(said),
        at: None,
        packets: 0,
        octets: std::mem::take(octets),
        records: std::mem::take(records),
        dropped: 0,
    }
}

//! Testcontainers for Rust starts the image in ONCE_IMAGE: `modules [EXPRESSION]` runs the checks whose name matches.
//! It prints a line for each check.

mod client;
mod ways;

use std::time::Instant;

use client::{expect_values, transact, End};
use regex::Regex;
use ways::{start_neighbour, Broker, Way, WAYS};

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Two brokers side by side, started in one way. Its methods are the checks.
struct Pair {
    way: &'static Way,
    network: String,
    brokers: Vec<Broker>,
}

impl Pair {
    fn container(&self, number: usize) -> String {
        format!("{}-{number}", self.network)
    }

    fn start(&mut self) -> Outcome<String> {
        let began = Instant::now();
        let broker = (self.way.start)(&self.network, &self.container(self.brokers.len() + 1))?;
        self.brokers.push(broker);
        Ok(format!(", ready in {} ms", began.elapsed().as_millis()))
    }

    fn start_second(&mut self) -> Outcome<String> {
        let took = self.start()?;
        let [first, second] = &self.brokers[..] else {
            return Err("there are not two".into());
        };
        transact(&first.address, "names", &["first"], End::Commit)?;
        transact(&second.address, "names", &["second"], End::Commit)?;
        expect_values(&first.address, "names", &["first"])?;
        expect_values(&second.address, "names", &["second"])?;
        Ok(took)
    }

    fn transactions(&mut self) -> Outcome<String> {
        let address = &self.brokers[0].address;
        transact(address, "orders", &["1", "2"], End::Commit)?;
        transact(address, "orders", &["3"], End::Abort)?;
        transact(address, "orders", &["4"], End::Commit)?;
        expect_values(address, "orders", &["1", "2", "4"])?;
        Ok(String::new())
    }

    fn tools_inside(&mut self) -> Outcome<String> {
        let broker = &self.brokers[0];
        produce_and_consume(broker, broker, "inside", broker.inside)
    }

    fn neighbours(&mut self) -> Outcome<String> {
        let neighbour = start_neighbour(&self.network)?;
        produce_and_consume(
            &self.brokers[0],
            &neighbour,
            "neighbours",
            &format!("{}:9092", self.container(1)),
        )
    }

    fn stop(&mut self) -> Outcome<String> {
        let began = Instant::now();
        for broker in &self.brokers {
            broker.stop()?;
        }
        // Where the broker does not get the signal, the engine kills each after 20 seconds.
        if began.elapsed().as_secs() >= 20 {
            return Err(format!("two brokers stopped in {:?}", began.elapsed()).into());
        }
        Ok(String::new())
    }
}

/// A client on the host and tools in a container use the same topic, the latter by this address.
fn produce_and_consume(
    broker: &Broker,
    tools: &Broker,
    topic: &str,
    address: &str,
) -> Outcome<String> {
    transact(&broker.address, topic, &["from the host"], End::Commit)?;
    let printed = tools.run(&format!(
        "echo from a container | kafka-console-producer --bootstrap-server {address} --topic {topic} && \
         kafka-console-consumer --bootstrap-server {address} --topic {topic} --from-beginning --max-messages 2 \
         --timeout-ms 10000 --isolation-level read_committed"
    ))?;
    let want = ["from the host", "from a container"];
    if printed.lines().collect::<Vec<_>>() != want {
        return Err(format!("the tools printed {printed:?}").into());
    }
    expect_values(&broker.address, topic, &want)?;
    Ok(String::new())
}

type Check = fn(&mut Pair) -> Outcome<String>;

/// Runs the checks of one way, and returns how many have passed and failed. A start is needed whatever is asked for.
fn run(way: &'static Way, expression: &Regex) -> (usize, usize) {
    let mut checks: Vec<(&str, Check)> = vec![
        ("starts", Pair::start),
        ("a second one beside it", Pair::start_second),
        ("transactions from the host", Pair::transactions),
        ("tools inside the container", Pair::tools_inside),
    ];
    if way.has_neighbours {
        checks.push(("another container by its name", Pair::neighbours));
    }
    checks.push(("stops", Pair::stop));

    let title = |name: &str| format!("rust {}: {name}", way.name);
    let wanted: Vec<bool> = checks
        .iter()
        .map(|(name, _)| expression.is_match(&title(name)))
        .collect();
    let (mut passed, mut failed) = (0, 0);
    if !wanted.contains(&true) {
        return (passed, failed);
    }
    let network = format!(
        "once-rust-{}-{}",
        std::process::id(),
        way.name.replace([' ', ','], "")
    );
    let mut pair = Pair {
        way,
        network,
        brokers: Vec::new(),
    };
    for (number, (name, check)) in checks.iter().enumerate() {
        let starts = number < 2;
        if !wanted[number] && !starts {
            continue;
        }
        match check(&mut pair) {
            Ok(took) => {
                println!("ok {}{took}", title(name));
                passed += 1;
            }
            Err(error) => {
                println!("FAIL {}\n    {error}", title(name));
                failed += 1;
                if starts {
                    break;
                }
            }
        }
    }
    (passed, failed)
}

fn main() {
    let expression = std::env::args().nth(1).unwrap_or_default();
    let expression = Regex::new(&expression).expect("a regular expression");
    let (mut passed, mut failed) = (0, 0);
    for way in &WAYS {
        let (ok, bad) = run(way, &expression);
        (passed, failed) = (passed + ok, failed + bad);
    }
    println!("{passed} passed, {failed} failed");
    std::process::exit(if failed > 0 { 1 } else { 0 });
}

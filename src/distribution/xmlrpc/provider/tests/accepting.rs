//! What becomes of endpoints whose server cannot accept (rules X13, V06).

use super::machine::{Fault, Machine};
use super::*;

fn heard(endpoint: &dyn ExportedEndpoint) -> mpsc::Receiver<Trouble> {
    let (sender, heard) = mpsc::channel();
    // Nobody may listen any more.
    endpoint.watch(Troubles::new(move |trouble| drop(sender.send(trouble))));
    heard
}

async fn next(heard: &mpsc::Receiver<Trouble>) -> Trouble {
    let search = async {
        loop {
            match heard.try_recv() {
                Ok(trouble) => return trouble,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), search).await;
    found.expect("there is trouble")
}

#[tokio::test]
async fn a_listener_that_ended_tells_its_endpoints_and_the_next_export_listens_anew() {
    for (fault, cause) in [
        (Fault::Error(io::ErrorKind::InvalidInput), "as asked"),
        (Fault::Panic, "the accepting task panicked"),
    ] {
        let machine = Arc::new(Machine::default());
        let provider = machine.provider("10.1.2.3:80");
        let mut old = Vec::new();
        for _ in 0..2 {
            old.push(provider.export(request(&[])).await.unwrap().endpoint);
        }
        old[0].ready().await.unwrap();
        let all: Vec<_> = old
            .iter()
            .map(|endpoint| heard(endpoint.as_ref()))
            .collect();
        assert_eq!(machine.listened(), 1);
        machine.fail(fault);
        for heard in &all {
            let Trouble::Error(error) = next(heard).await else {
                panic!("it works no more");
            };
            let expected = format!("no connections are accepted at 10.1.2.3:80: {cause}");
            assert_eq!(error.to_string(), expected);
        }
        // Who asks later is told as well.
        assert!(matches!(
            heard(old[0].as_ref()).try_recv(),
            Ok(Trouble::Error(_))
        ));
        // The address is free, though the old endpoints are there still.
        let new = provider.export(request(&[])).await.unwrap().endpoint;
        assert_eq!(machine.listened(), 2);
        let quiet = heard(new.as_ref());
        new.ready().await.unwrap();
        for endpoint in old {
            endpoint.close().await;
        }
        // Their end is not the new server's.
        let newer = provider.export(request(&[])).await.unwrap().endpoint;
        assert_eq!(machine.listened(), 2);
        newer.ready().await.unwrap();
        assert!(quiet.try_recv().is_err());
        new.close().await;
        newer.close().await;
        provider.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_accept_that_fails_for_a_while_is_a_warning_until_it_works_again() {
    let machine = Arc::new(Machine::default());
    let provider = machine.provider("10.1.2.3:80");
    let running = provider.exports.running(Door::Ordinary).await.unwrap();
    let port = running.server.local_addr().port();
    let endpoint = provider.export(request(&[])).await.unwrap().endpoint;
    let early = heard(endpoint.as_ref());
    machine.fail(Fault::Error(io::ErrorKind::Other));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(early.try_recv().is_err(), "it may pass");
    let Trouble::Warning(warning) = next(&early).await else {
        panic!("it may work again");
    };
    assert_eq!(
        warning.to_string(),
        "no connections are accepted at 10.1.2.3:80: as asked"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(early.try_recv().is_err(), "once is enough");
    let late = provider.export(request(&[])).await.unwrap().endpoint;
    let told = || heard(late.as_ref()).try_recv();
    assert!(matches!(told(), Ok(Trouble::Warning(_))));
    assert_eq!(machine.listened(), 1);

    machine.fail(Fault::None);
    let _connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    let works = async {
        while told().is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let works = tokio::time::timeout(Duration::from_secs(600), works).await;
    works.expect("nobody is told of what is over");
    endpoint.close().await;
    late.close().await;
    provider.exports.release(running).await;
}

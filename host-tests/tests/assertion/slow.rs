//! A gateway that is slow to answer for its keys: who asks for one that nobody knows does not hold up the others.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use host_tests::artifacts;
use host_tests::key_server::{Answer, KeyServer};
use serde_json::json;

use super::keys::Signer;

/// These say whether a key that is known came while the question for another one was still open, and then whether it was still there.
const PYTHON: &str = "
import sys, threading
sys.path.insert(0, 'verifiers/python')
from portcullis_verifier import Keys
say = lambda good: print('good' if good else 'bad', flush=True)
keys = Keys(sys.argv[1])
say(keys.find('known'))
sys.stdin.readline()
keys._asked = float('-inf')
asking = threading.Thread(target=keys.find, args=['unknown'])
asking.start()
sys.stdin.readline()
say(keys.find('known') and asking.is_alive())
asking.join()
say(keys.find('known') and not keys.find('unknown'))
";
const NODE: &str = "
import { createInterface } from 'node:readline';
import { Keys } from './verifiers/node/verifier.mjs';
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (good) => console.log(good ? 'good' : 'bad');
const clock = performance.now.bind(performance);
const keys = new Keys(process.argv[1]);
say(await keys.find('known'));
await lines.next();
performance.now = () => clock() + 2000;
let open = true;
const asking = keys.find('unknown').then(() => (open = false));
await lines.next();
say((await keys.find('known')) && open);
await asking;
say((await keys.find('known')) && !(await keys.find('unknown')));
process.exit();
";

#[test]
fn a_key_that_is_known_does_not_wait_for_one_that_is_not() {
    let python = artifacts::python().unwrap();
    let key = URL_SAFE_NO_PAD.encode(Signer::new().public());
    let keys = json!({"keys": [{"kid": "known", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": key}]})
        .to_string();
    for (program, arguments) in
        [(&*python, ["-c", PYTHON].as_slice()), (Path::new("node"), &["--input-type=module", "-e", NODE])]
    {
        let server = KeyServer::start().unwrap();
        let answer = || Answer::json(keys.as_str()).with("cache-control", "max-age=600");
        server.answer("/keys", answer());
        let mut child = Command::new(program)
            .current_dir(artifacts::repository())
            .args(arguments)
            .arg(server.url("/keys"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut tell, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut said = BufReader::new(said).lines();
        let mut hear = || said.next().and_then(Result::ok);
        assert_eq!(hear().as_deref(), Some("good"), "{}: no key", program.display());

        // Longer than they wait.
        server.answer("/keys", answer().after(Duration::from_secs(10)));
        writeln!(tell, "ask").unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while server.requests("/keys") < 2 {
            assert!(Instant::now() < end, "{}: the unknown key is not asked for", program.display());
            thread::sleep(Duration::from_millis(5));
        }
        writeln!(tell, "find").unwrap();
        assert_eq!(hear().as_deref(), Some("good"), "{}: the known key waits", program.display());
        assert_eq!(hear().as_deref(), Some("good"), "{}: what is known after a timeout", program.display());
        assert!(child.wait().unwrap().success());
    }
}

//! How do we show a server this certificate and no other, and speak HTTP/1.1 to it?

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::{Authority, Certificate};
use crate::client::{Client, tcp};
use crate::exchange::{Request, Response};

/// A connection of TLS 1.3.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Connects to `server`, which must show a certificate of `trusted` for `host`. `shown` is what we show if we are asked.
///
/// In TLS 1.3 a client is done before the server has looked at its certificate: that one is refused is told by the first exchange.
pub fn connect(
    server: SocketAddr,
    host: &str,
    trusted: &Authority,
    shown: Option<&Certificate>,
) -> io::Result<Client<TlsStream>> {
    over(tcp(server)?, host, trusted, shown)
}

/// The same over a connection that is there.
pub fn over(
    connection: TcpStream,
    host: &str,
    trusted: &Authority,
    shown: Option<&Certificate>,
) -> io::Result<Client<TlsStream>> {
    let config = config(trusted, shown).map_err(io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(client, connection);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(Client::over(stream))
}

/// One request on a connection of its own; the server's name is that of the request's `host`.
pub fn send(
    server: SocketAddr,
    trusted: &Authority,
    shown: Option<&Certificate>,
    request: &Request,
) -> io::Result<Response> {
    let authority = crate::exchange::field(&request.fields, "host").unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    connect(server, host, trusted, shown)?.exchange(request)
}

fn config(trusted: &Authority, shown: Option<&Certificate>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match shown {
        None => Ok(builder.with_no_client_auth()),
        Some(certificate) => {
            let chain = certificate.chain().map(|der| CertificateDer::from(der.to_vec())).collect();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key_der().to_vec()));
            builder.with_client_auth_cert(chain, key)
        }
    }
}

// Runs RxDB's own signaling server, and says on which port.
import { startSignalingServerSimplePeer } from 'rxdb/plugins/replication-webrtc';

console.log = () => {}; // it logs a line for each peer that leaves
const { server } = await startSignalingServerSimplePeer({ host: '127.0.0.1', port: 0 });
if (!server.address()) {
  await new Promise((resolve) => server.once('listening', resolve));
}
process.stdout.write(server.address().port + '\n');

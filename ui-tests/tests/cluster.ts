// A real Spark standalone cluster on loopback, from the PySpark of the workspace.

import { type ChildProcess, spawn } from 'child_process';
import { mkdtempSync, rmSync } from 'fs';
import { createServer } from 'net';
import { tmpdir } from 'os';
import { join } from 'path';
import { expect, sitePackages } from './fixtures';

/** Cores of the one worker. */
export const CORES = 2;

/** MiB of the one worker. */
export const MEMORY = 1500;

/** How long a JVM may take to start on a machine that does much else. */
const PATIENCE = { timeout: 90_000 };

export interface ICluster {
  master: string;
  webPort: number;
}

/** Start a master and a worker, use them, and end them. */
export async function withCluster(
  use: (cluster: ICluster) => Promise<void>
): Promise<void> {
  const [port, webPort] = [await freePort(), await freePort()];
  const master = `spark://127.0.0.1:${port}`;
  const folder = mkdtempSync(join(tmpdir(), 'pyspark-kernels-cluster-'));
  const daemons = [
    start('master.Master', ['--port', `${port}`, '--webui-port', `${webPort}`])
  ];
  try {
    await expect.poll(() => workersOf(webPort), PATIENCE).toBe(0);
    const room = ['--cores', `${CORES}`, '--memory', `${MEMORY}m`];
    const own = ['--webui-port', '0', '--work-dir', folder];
    daemons.push(start('worker.Worker', [master, ...own, ...room]));
    await expect.poll(() => workersOf(webPort), PATIENCE).toBe(1);
    await use({ master, webPort });
  } finally {
    await Promise.all(daemons.map(end));
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Give the number of workers that a master knows; null when it does not answer yet. */
async function workersOf(webPort: number): Promise<number | null> {
  try {
    const answer = await fetch(`http://127.0.0.1:${webPort}/json/`);
    return (await answer.json()).aliveworkers;
  } catch {
    return null;
  }
}

function start(daemon: string, options: string[]): ChildProcess {
  const home = join(sitePackages(), 'pyspark');
  const name = `org.apache.spark.deploy.${daemon}`;
  return spawn(
    join(home, 'bin', 'spark-class'),
    [name, '--host', '127.0.0.1', ...options],
    {
      env: {
        ...process.env,
        SPARK_HOME: home,
        SPARK_LOCAL_IP: '127.0.0.1',
        SPARK_DAEMON_MEMORY: '256m'
      },
      stdio: 'ignore'
    }
  );
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode === null && daemon.signalCode === null) {
    const ended = new Promise(resolve => daemon.once('exit', resolve));
    daemon.kill();
    await ended;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address
          ? resolve(address.port)
          : reject(new Error('No port was given.'))
      );
    });
  });
}

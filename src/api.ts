import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { components } from './openapi';

type Schemas = components['schemas'];

export type Environment = Schemas['Environment'];
export type Environments = Schemas['Environments'];
export type Form = Schemas['Form'];
export type Kernel = Schemas['Kernel'];
export type KernelArchive = Schemas['KernelArchive'];
export type KeptArchive = Schemas['KeptArchive'];
export type Place = Schemas['Place'];
export type Preview = Schemas['Preview'];
export type Remark = Schemas['Remark'];
export type Task = Schemas['Task'];

/**
 * What a form or a command says of a kernel; the server completes it and checks it.
 */
export type KernelConfig = Partial<Schemas['KernelConfig']>;

/**
 * What became of a kernel that was sent: it is written, or a task goes on writing it.
 */
export type Written =
  { kernel: Kernel; task: null } | { kernel: null; task: Task };

const NAMESPACE = 'jupyterlab-pyspark-kernels';

/**
 * The status of an answer that only says that the work has begun.
 */
const ACCEPTED = 202;

/**
 * The reason of an answer that is no JSON.
 */
export const NOT_JSON = 'no-json';

/**
 * A refusal of the server.
 */
export class ApiError extends Error {
  /**
   * @param status - the HTTP status.
   * @param reason - a fixed word for programs.
   * @param message - what is wrong, in sentences.
   * @param errors - what is wrong, field by field; empty when the answer is none of ours.
   */
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
    readonly errors: readonly Remark[] = []
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/**
 * The routes of our server extension.
 *
 * Every method throws an `ApiError` when the server refuses, and a
 * `ServerConnection.NetworkError` when it cannot be reached.
 */
export class Api {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  form(): Promise<Form> {
    return this._request('GET', 'form');
  }

  environments(): Promise<Environments> {
    return this._request('GET', 'environments');
  }

  /**
   * Install into an environment what every kernel needs.
   */
  makeReady(environment: string): Promise<Task> {
    return this._request('POST', 'environments/ready', { environment });
  }

  kernel(place: string, name: string): Promise<Kernel> {
    return this._request('GET', kernelPath(place, name));
  }

  preview(config: KernelConfig, editing: boolean): Promise<Preview> {
    return this._request('POST', `preview?editing=${editing}`, config);
  }

  async create(config: KernelConfig): Promise<Written> {
    return written(await this._send('POST', 'kernels', config));
  }

  /**
   * Write a kernel anew.
   *
   * @param old - the version that was edited.
   * @param config - the whole new configuration.
   */
  async edit(old: Kernel, config: KernelConfig): Promise<Written> {
    const path = kernelPath(old.place, old.name);
    const headers = { 'If-Match': `"${old.etag}"` };
    return written(await this._send('PUT', path, config, headers));
  }

  /**
   * Pack anew what the executors of a kernel unpack.
   */
  repack(place: string, name: string): Promise<Task> {
    return this._request('POST', `${kernelPath(place, name)}/repack`, {});
  }

  undo(): Promise<Kernel> {
    return this._request('POST', 'undo', {});
  }

  /**
   * List the packed environments.
   */
  archives(): Promise<KeptArchive[]> {
    return this._request('GET', 'archives');
  }

  /**
   * Remove the packed environments that no kernel refers to.
   *
   * @returns those that were removed.
   */
  sweep(): Promise<KeptArchive[]> {
    return this._request('POST', 'archives/sweep', {});
  }

  tasks(): Promise<Task[]> {
    return this._request('GET', 'tasks');
  }

  task(id: string): Promise<Task> {
    return this._request('GET', taskPath(id));
  }

  /**
   * Take up again what did not come to its end.
   */
  resume(id: string): Promise<Task> {
    return this._request('POST', `${taskPath(id)}/resume`, {});
  }

  /**
   * Tell a task that runs to stop.
   */
  async cancel(id: string): Promise<void> {
    await this._send('DELETE', taskPath(id));
  }

  private async _request<T>(
    method: string,
    path: string,
    body?: object
  ): Promise<T> {
    return readJson(await this._send(method, path, body));
  }

  private async _send(
    method: string,
    path: string,
    body?: object,
    extraHeaders: Record<string, string> = {}
  ): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, NAMESPACE, path);
    const headers = new Headers(this._settings.init.headers);
    headers.set('Content-Type', 'application/json');
    for (const [name, value] of Object.entries(extraHeaders)) {
      headers.set(name, value);
    }
    const response = await ServerConnection.makeRequest(
      url,
      { method, headers, body: body && JSON.stringify(body) },
      this._settings
    );
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }
}

async function written(response: Response): Promise<Written> {
  return response.status === ACCEPTED
    ? { kernel: null, task: await readJson<Task>(response) }
    : { kernel: await readJson<Kernel>(response), task: null };
}

function kernelPath(place: string, name: string): string {
  return `kernels/${encodeURIComponent(place)}/${encodeURIComponent(name)}`;
}

function taskPath(id: string): string {
  return `tasks/${encodeURIComponent(id)}`;
}

/**
 * Read an answer. A proxy whose session is over answers with a page to log in, and calls it a
 * success.
 */
async function readJson<T>(response: Response): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, NOT_JSON, text.slice(0, 100));
  }
}

/**
 * Read an error. A proxy, or a server without our extension, answers in a form of its own.
 */
async function refusal(response: Response): Promise<ApiError> {
  let answer: Partial<Schemas['Error']> | null = null;
  try {
    answer = await response.json();
  } catch {
    // Not JSON.
  }
  const status = `${response.status} ${response.statusText}`.trim();
  return new ApiError(
    response.status,
    answer?.reason || 'unknown',
    answer?.message || status,
    Array.isArray(answer?.errors) ? answer.errors : []
  );
}

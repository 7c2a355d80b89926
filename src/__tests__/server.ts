/**
 * Answers of the server, and a stand-in for the network that gives them.
 */

import { type Event, ServerConnection } from '@jupyterlab/services';
import { configure, fireEvent } from '@testing-library/dom';
import { Signal } from '@lumino/signaling';
import type {
  Environments,
  Form,
  KeptArchive,
  Kernel,
  Preview,
  Remark,
  Task
} from '../api';
import { TASK_EVENT } from '../tasks/shown';

configure({
  asyncUtilTimeout: 5_000,
  // Only style sheets, which jest leaves out, make JupyterLab's dialog visible.
  defaultHidden: true,
  getElementError: message => new Error(message ?? 'Not found')
});

export const FORM: Form = {
  schema: {
    type: 'object',
    additionalProperties: false,
    required: ['display_name', 'environment'],
    properties: {
      display_name: {
        type: 'string',
        title: 'Name',
        description: 'What the launcher calls the kernel.',
        minLength: 1
      },
      environment: { type: 'string', title: 'Python environment' },
      master: { type: 'string', title: 'Master', default: 'local[*]' },
      executor_memory: { type: 'string', title: 'Executor memory' },
      executor_cores: { type: 'integer', title: 'Executor cores', minimum: 1 },
      place: { type: 'string', title: 'Available to', default: 'user' },
      name: { type: 'string', title: 'Kernel name', advanced: true },
      driver_memory: {
        type: 'string',
        title: 'Driver memory',
        advanced: true
      },
      carry: {
        type: 'boolean',
        title: 'Carry it',
        description: 'Packs it.',
        default: false,
        advanced: true
      },
      conf: {
        type: 'object',
        title: 'Spark settings',
        additionalProperties: { type: 'string' },
        default: {},
        advanced: true
      },
      env: {
        type: 'object',
        title: 'Environment variables',
        additionalProperties: { type: 'string' },
        default: {},
        advanced: true
      }
    }
  },
  uiSchema: {
    'ui:order': [
      'display_name',
      'environment',
      'master',
      'executor_memory',
      'executor_cores',
      'place',
      'name',
      'driver_memory',
      'carry',
      'conf',
      'env'
    ],
    executor_memory: { 'ui:options': { placeholder: '4g' } },
    name: { 'ui:options': { advanced: true } },
    driver_memory: { 'ui:options': { advanced: true } },
    carry: { 'ui:options': { advanced: true } },
    conf: { 'ui:options': { advanced: true } },
    env: { 'ui:options': { advanced: true } }
  },
  defaults: { driver_memory: '1g' },
  places: [
    { id: 'user', kernels: '/home/me/kernels', shared: false, reason: null },
    {
      id: 'usr-share',
      kernels: '/usr/share/kernels',
      shared: true,
      reason: '/usr/share/kernels is not writable for you.'
    }
  ]
};

export const BROKEN = {
  path: '/envs/broken',
  kind: 'venv',
  python_version: '3.9.1',
  packages: { pyspark: '4.3.0' },
  problem: 'It has no ipykernel',
  remedy: 'install-ipykernel',
  installer: 'pip'
} as const;

export const ENVIRONMENTS: Environments = {
  environments: [
    BROKEN,
    {
      path: '/envs/plain',
      kind: 'uv',
      python_version: '3.10.2',
      packages: { ipykernel: '7.4.0' },
      problem: null,
      remedy: null,
      installer: 'uv'
    },
    {
      path: '/envs/spark',
      kind: 'conda',
      python_version: '3.11.7',
      packages: { ipykernel: '7.4.0', pyspark: '4.3.0' },
      problem: null,
      remedy: null,
      installer: 'conda'
    }
  ],
  unanswered: []
};

export const KERNEL: Kernel = {
  name: 'demo',
  place: 'user',
  display_name: 'Demo',
  config: {
    display_name: 'Demo',
    environment: '/envs/spark',
    master: 'yarn',
    place: 'user',
    name: 'demo',
    carry: false,
    carry_everything: false,
    conf: { 'spark.a': '1' },
    env: {}
  },
  etag: 'abc',
  created_by: 'me',
  writable: true,
  edited_by_hand: false,
  hidden_by: null,
  archive: null,
  problem: null
};

/** Work that has just begun, and has written nothing yet. */
export const TASK: Task = {
  id: 't1',
  kind: 'create',
  title: 'Creating “Demo”',
  state: 'running',
  stage: 'Waiting',
  files_done: 0,
  files_total: null,
  bytes_done: 0,
  bytes_total: null,
  log: [],
  error: null,
  kernel: null,
  environment: '/envs/spark',
  started: '2026-01-01T10:00:00.000+00:00',
  ended: null
};

export const DONE: Task = {
  ...TASK,
  state: 'done',
  stage: 'Done',
  log: ['Packing', 'Done'],
  kernel: { place: 'user', name: 'demo' },
  ended: '2026-01-01T10:01:00.000+00:00'
};

export const FAILED: Task = {
  ...TASK,
  state: 'failed',
  stage: 'Packing',
  error: {
    message: 'The disk is full.',
    reason: 'cannot-be-done',
    errors: [{ field: 'environment', message: 'The disk is full.' }]
  },
  ended: '2026-01-01T10:01:00.000+00:00'
};

export const ARCHIVES: KeptArchive[] = [
  {
    digest: 'd1',
    path: '/kept/d1.tar.gz',
    environment: '/envs/spark',
    python_version: '3.11.7',
    bytes: 300 * 1024 ** 2,
    files: 20_000,
    created: '2026-01-01T10:01:00Z',
    left_out: [],
    drift: 'pandas was 2.0 and is 2.1.',
    place: 'user',
    used_by: [{ place: 'user', name: 'demo' }],
    kept_for_undo: false
  },
  {
    digest: 'd2',
    path: '/kept/d2.tar.gz',
    environment: '/envs/old',
    python_version: '3.11.7',
    bytes: 1.5 * 1024 ** 3,
    files: 20_000,
    created: '2026-01-01T10:01:00Z',
    left_out: [],
    drift: null,
    place: 'user',
    used_by: [],
    kept_for_undo: false
  }
];

/**
 * Stands in for the connection that brings events.
 */
export class Events {
  readonly stream = new Signal<object, Event.Emission>(this);

  /** What JupyterLab hands to those who listen. */
  get manager(): Event.IManager {
    return this as unknown as Event.IManager;
  }

  tell(task: Task): void {
    const { id, title, state, stage } = task;
    const { files_done, files_total, bytes_done, bytes_total } = task;
    const progress = { files_done, files_total, bytes_done, bytes_total };
    const told = { id, title, state, stage, ...progress };
    this.stream.emit({ schema_id: TASK_EVENT, ...told });
  }
}

export const PREVIEW: Preview = {
  name: 'derived-name',
  directory: '/home/me/kernels/derived-name',
  kernel_json: { argv: ['<b>python</b>'] },
  advice: []
};

export interface IRequest {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
}

type Answer = (request: IRequest) => Response | Promise<Response>;

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}

export function refuse(status: number, ...errors: Remark[]): Response {
  const message = errors.map(error => error.message).join('\n');
  return json({ message, reason: 'refused', errors }, status);
}

/**
 * Stands in for the network: keeps the requests, and answers them.
 */
export class Server {
  constructor() {
    jest
      .spyOn(ServerConnection, 'makeRequest')
      .mockImplementation(async (url, init) => {
        const path = url.split('/jupyterlab-pyspark-kernels/')[1];
        const method = init.method ?? 'GET';
        const request = {
          method,
          path,
          headers: new Headers(init.headers),
          body: init.body ? JSON.parse(String(init.body)) : undefined
        };
        this.requests.push(request);
        const answer = this.answers[`${method} ${path.split('?')[0]}`];
        return answer ? answer(request) : refuse(404);
      });
  }

  readonly requests: IRequest[] = [];

  readonly answers: Record<string, Answer> = {
    'GET form': () => json(FORM),
    'GET environments': () => json(ENVIRONMENTS),
    'GET kernels/user/demo': () => json(KERNEL),
    'POST preview': () => json(PREVIEW),
    'POST kernels': () => json(KERNEL, 201),
    'PUT kernels/user/demo': () => json(KERNEL),
    'POST undo': () => json(KERNEL),
    'GET tasks': () => json([]),
    'GET tasks/t1': () => json(TASK),
    'DELETE tasks/t1': () => new Response(null, { status: 204 }),
    'POST tasks/t1/resume': () => json(TASK, 202),
    'POST environments/ready': () => json(TASK, 202),
    'GET archives': () => json(ARCHIVES),
    'POST archives/sweep': () => json(ARCHIVES.slice(1)),
    'POST kernels/user/demo/repack': () => json(TASK, 202)
  };

  /** What was sent to one route. */
  sent(method: string, path: string): IRequest[] {
    return this.requests.filter(
      request =>
        request.method === method && request.path.split('?')[0] === path
    );
  }
}

/**
 * Dismiss the dialogs that a test has left open.
 */
export function closeDialogs(): void {
  for (const node of document.querySelectorAll('.jp-Dialog')) {
    fireEvent.keyDown(node, { key: 'Escape' });
  }
}

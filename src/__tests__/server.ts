/**
 * Answers of the server, and a stand-in for the network that gives them.
 */

import { type Event, ServerConnection } from '@jupyterlab/services';
import { configure, fireEvent } from '@testing-library/dom';
import { Signal } from '@lumino/signaling';
import type {
  Comparison,
  Effective,
  ClusterReport,
  Diagnosis,
  Environments,
  Flight,
  Form,
  KeptArchive,
  Kernel,
  Preview,
  Remark,
  Setting,
  Settings,
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
      queue: { type: 'string', title: 'Queue', advanced: true },
      secrets: {
        type: 'object',
        title: 'Secrets',
        additionalProperties: { type: 'string' },
        default: {},
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
      'queue',
      'secrets',
      'conf',
      'env'
    ],
    master: { 'ui:options': { figures: true } },
    executor_memory: { 'ui:options': { placeholder: '4g', figures: true } },
    executor_cores: { 'ui:options': { figures: true } },
    name: { 'ui:options': { advanced: true } },
    driver_memory: { 'ui:options': { advanced: true } },
    carry: { 'ui:options': { advanced: true } },
    queue: { 'ui:options': { advanced: true, section: 'identity' } },
    secrets: { 'ui:options': { advanced: true, section: 'identity' } },
    conf: { 'ui:options': { advanced: true, figures: true } },
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
  ],
  templates: { templates: [], required: false }
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
    driver_start: 'auto',
    master: 'yarn',
    place: 'user',
    name: 'demo',
    choices: [],
    per_user: [],
    carry: false,
    carry_everything: false,
    labels: {},
    secrets: {},
    conf: { 'spark.a': '1' },
    env: {}
  },
  etag: 'abc',
  created_by: 'me',
  writable: true,
  edited_by_hand: false,
  hidden_by: null,
  archive: null,
  problem: null,
  owner: 'me',
  ours: true,
  last_used: null,
  last_test: null,
  broken: null,
  untrusted: null,
  outdated: null
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
  flight: null,
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

/** Why a kernel has no Spark. */
export const DIAGNOSIS: Diagnosis = {
  rule: 'master-refuses',
  cause: 'Nobody listens at spark://master:7077.',
  evidence: 'No Spark master answers at spark://master:7077.',
  fix: 'Check that the Spark master is running.',
  command: null,
  remedy: 'edit-master'
};

const DRIVER = {
  host: 'here',
  python: '3.11.7',
  executable: '/envs/spark/bin/python',
  java: '17.0.15',
  spark: '4.3.0',
  packages: { pandas: '2.2.3', numpy: null },
  way_back_seconds: null
};

/** A test of a kernel with one executor, which has no pandas. */
export const FLIGHT: Flight = {
  passed: true,
  verdict: 'Spark 4.3.0 ran a task on the executor.',
  diagnoses: [],
  stages: [
    { name: 'Starting Spark', seconds: 3.21 },
    { name: 'Ending the kernel', seconds: 0.4 }
  ],
  driver: DRIVER,
  executors: [
    {
      ...DRIVER,
      host: 'node-1',
      packages: { pandas: null, numpy: null },
      way_back_seconds: 0.012
    }
  ],
  when: '2026-01-01T10:01:00Z'
};

export const CRASH: Flight = {
  passed: false,
  verdict: DIAGNOSIS.cause,
  diagnoses: [DIAGNOSIS],
  stages: [{ name: 'Asking the master', seconds: 0.002 }],
  driver: null,
  executors: [],
  when: '2026-01-01T10:01:00Z'
};

export const TESTING: Task = { ...TASK, kind: 'test', title: 'Testing “x”' };

export const TESTED: Task = {
  ...TESTING,
  state: 'done',
  flight: FLIGHT,
  log: ['what it printed'],
  ended: '2026-01-01T10:01:00.000+00:00'
};

export const NO_CLUSTER: ClusterReport = {
  summary: 'There are no executors: the driver does the work.',
  problem: null,
  capacity: null,
  demand: null,
  fit: null
};

export const CLUSTER: ClusterReport = {
  summary:
    'One executor takes 1024 MiB and 1 core. 2 executors would start now.',
  problem: null,
  capacity: {
    kind: 'yarn',
    booking: {
      step_mib: 1,
      memory_max_mib: null,
      cores_max: null,
      cores_count: true
    },
    queues: [
      { name: 'default', open: true, memory_free_mib: 2048, waiting: 0 },
      { name: 'night', open: false, memory_free_mib: null, waiting: 3 }
    ],
    waiting: 4,
    node_count: 2,
    cores_total: 8,
    cores_free: 3,
    memory_total_mib: 8192,
    memory_free_mib: 3072,
    largest_node: {
      cores_total: 4,
      cores_free: 2,
      memory_total_mib: 4096,
      memory_free_mib: 2048
    }
  },
  demand: {
    cores: 1,
    heap_mib: 1024,
    off_heap_mib: 0,
    python_mib: 0,
    executors: 2,
    cores_max: null,
    application_mib: 0,
    queue: 'default',
    overhead_mib: 0,
    memory_mib: 1024
  },
  fit: { now: 2, ever: true, advice: [] }
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

const SETTING: Setting = {
  key: '',
  type: 'text',
  unit: null,
  choices: null,
  default: null,
  help: '',
  since: null
};

export const SETTINGS: Settings = {
  spark_version: '4.3.0',
  skipped: [],
  settings: [
    {
      ...SETTING,
      key: 'spark.executor.memory',
      type: 'bytes',
      unit: 'MiB',
      default: '1g',
      help: 'Amount of memory to use per executor.',
      since: '0.7.0'
    },
    {
      ...SETTING,
      key: 'spark.executor.memoryOverhead',
      type: 'bytes',
      unit: 'MiB',
      help: 'The amount of <i>non-heap</i> memory.',
      since: '2.3.0'
    },
    {
      ...SETTING,
      key: 'spark.shuffle.compress',
      type: 'boolean',
      default: 'true'
    },
    {
      ...SETTING,
      key: 'spark.sql.storeAssignmentPolicy',
      choices: ['ANSI', 'LEGACY', 'STRICT'],
      default: 'ANSI'
    }
  ]
};

export const EFFECTIVE: Effective = {
  spark_version: '4.3.0',
  remarks: [{ field: '', message: 'spark-env.sh may set more.' }],
  rows: [
    {
      key: 'spark.app.name',
      value: 'Demo',
      origin: 'form',
      place: 'Name',
      overridden: [],
      default: null,
      help: null
    },
    {
      key: 'spark.executor.memory',
      value: '2g',
      origin: 'form',
      place: 'Executor memory',
      overridden: [
        {
          value: '3g',
          origin: 'spark-defaults.conf',
          place: '/opt/spark/conf/spark-defaults.conf'
        }
      ],
      default: '1g',
      help: 'Amount of memory to use per executor.'
    }
  ]
};

export const COMPARISON: Comparison = {
  rows: [
    { field: 'master', left: 'yarn', right: 'yarn', same: true },
    { field: 'executor_memory', left: '2g', right: null, same: false },
    { field: 'spark.a', left: '1', right: '2', same: false }
  ]
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
    'GET kernels': () => json([KERNEL]),
    'GET kernels/user/demo': () => json(KERNEL),
    'POST preview': () => json(PREVIEW),
    'POST settings': () => json(SETTINGS),
    'POST effective': () => json(EFFECTIVE),
    'POST compare': () => json(COMPARISON),
    'POST cluster': () => json(NO_CLUSTER),
    'POST test': () => json(TESTING, 202),
    'GET kernels/user/demo/doctor': () => json([DIAGNOSIS]),
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

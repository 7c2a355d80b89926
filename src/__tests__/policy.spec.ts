import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor } from '@testing-library/dom';
import { Api, type Form, type Kernel, type Offer } from '../api';
import { type IKernelDialogOptions, showKernelDialog } from '../dialog';
import { settled, withoutSettled } from '../dialog/policy';
import { closeDialogs, Events, FORM, json, KERNEL, Server } from './server';

const trans = nullTranslator.load('');

const FREE = {
  locked: false,
  hidden: false,
  min: null,
  max: null,
  one_of: null,
  reason: ''
};

function fixed(setting: string, value: string, field = setting) {
  return { ...FREE, setting, field, value, locked: true };
}

const OFFER: Offer = {
  name: 'analytics',
  title: 'Analytics',
  description: 'For most notebooks.',
  closed: [],
  rules: [
    { ...fixed('master', 'yarn'), reason: 'There is one cluster.' },
    {
      ...FREE,
      setting: 'driver_memory',
      field: 'driver_memory',
      value: '2g',
      max: '4g'
    },
    { ...fixed('carry', 'false'), hidden: true },
    fixed('spark.yarn.queue', 'notebooks', 'conf')
  ],
  sizes: [
    {
      name: 'S',
      title: 'Small',
      description: '',
      rules: [fixed('executor_memory', '2g')]
    },
    {
      name: 'M',
      title: 'Medium',
      description: '4 GB',
      rules: [fixed('executor_memory', '4g')]
    }
  ],
  size: 'S',
  options: [{ name: 'delta', title: 'Delta Lake', description: '', rules: [] }]
};

const { schema } = FORM as unknown as {
  schema: { properties: Record<string, unknown> };
};

const OFFERING: Form = {
  ...FORM,
  schema: {
    ...FORM.schema,
    properties: {
      template: { type: 'string', title: 'Template' },
      choices: { type: 'array', title: 'Choices' },
      ...schema.properties,
      per_user: { type: 'array', title: 'Filled in', advanced: true }
    }
  },
  uiSchema: {
    ...FORM.uiSchema,
    'ui:order': [
      'template',
      'choices',
      ...(FORM.uiSchema['ui:order'] as string[]),
      'per_user'
    ]
  },
  templates: { templates: [OFFER], required: false }
};

let server: Server;
let result: Promise<Kernel | null>;

beforeEach(() => {
  server = new Server();
  server.answers['GET form'] = () => json(OFFERING);
  result = Promise.resolve(null);
});

afterEach(async () => {
  closeDialogs();
  await result;
  jest.restoreAllMocks();
});

async function open(
  options: Partial<IKernelDialogOptions> = {}
): Promise<void> {
  const api = new Api(ServerConnection.makeSettings());
  result = showKernelDialog({
    api,
    events: new Events().manager,
    trans,
    ...options
  });
  await screen.findByLabelText('Template');
}

function input(label: string): HTMLInputElement {
  return screen.getByLabelText(new RegExp(`^${label}( \\(required\\))?$`));
}

function choose(label: string, value: string): void {
  fireEvent.change(input(label), { target: { value } });
}

describe('settled', () => {
  const settle = (values: object, before: object = {}) =>
    settled({ ...values }, { ...before }, [OFFER], { master: 'local[*]' });

  it('fills in what a template settles, and its defaults', () => {
    expect(settle({ template: 'analytics', master: 'local[*]' })).toEqual({
      template: 'analytics',
      choices: 'S',
      master: 'yarn',
      driver_memory: '2g',
      carry: 'false',
      executor_memory: '2g'
    });
  });

  it('keeps what a person may choose', () => {
    const values = { template: 'analytics', driver_memory: '3g' };
    expect(settle(values).driver_memory).toBe('3g');
  });

  it('follows the size', () => {
    const before = settle({ template: 'analytics' });
    const after = settle({ ...before, choices: 'M delta' }, before);
    expect(after.executor_memory).toBe('4g');
    expect(after.choices).toBe('M delta');
  });

  it('takes away what another template had settled', () => {
    const before = settle({ template: 'analytics' });
    const after = settle({ ...before, template: '' }, before);
    expect([after.master, after.executor_memory, after.choices]).toEqual([
      'local[*]',
      '',
      ''
    ]);
  });

  it('knows a template by its name in a reference', () => {
    const values = { template: 'analytics@0123456789ab', choices: 'M' };
    expect(settle(values, values).executor_memory).toBe('4g');
  });
});

it('leaves out the entries that the server puts in', () => {
  const config = {
    ...KERNEL.config,
    template: 'analytics@0123456789ab',
    conf: { 'spark.yarn.queue': 'old', 'spark.mine': '1' }
  } as NonNullable<Kernel['config']>;
  expect(withoutSettled(config, [OFFER]).conf).toEqual({ 'spark.mine': '1' });
});

describe('the dialog', () => {
  it('begins with the template, and shows what it settles and why', async () => {
    await open();
    expect(input('Master').readOnly).toBe(false);
    choose('Template', 'analytics');
    await waitFor(() => expect(input('Master').value).toBe('yarn'));
    expect(input('Master').readOnly).toBe(true);
    const said = document.getElementById('jp-PySparkKernels_master__settled');
    expect(said?.textContent).toBe(
      'The template sets yarn. There is one cluster.'
    );
    expect(input('Master').getAttribute('aria-describedby')).toContain(
      'jp-PySparkKernels_master__settled'
    );
    expect(screen.queryByLabelText('Carry it')).toBeNull();
    expect(screen.getByText('At most 4g.')).toBeTruthy();
    expect(
      screen.getByText('spark.yarn.queue: The template sets notebooks.')
    ).toBeTruthy();
  });

  it('sends the template, the size and the options', async () => {
    await open();
    choose('Template', 'analytics');
    await waitFor(() => expect(input('Choices').value).toBe('S'));
    choose('Choices', 'M');
    await waitFor(() => expect(input('Executor memory').value).toBe('4g'));
    fireEvent.click(screen.getByLabelText('Delta Lake'));
    choose('Name', 'Mine');
    await waitFor(() =>
      expect(server.sent('POST', 'preview').pop()?.body).toMatchObject({
        template: 'analytics',
        choices: ['M', 'delta'],
        master: 'yarn',
        executor_memory: '4g'
      })
    );
  });

  it('begins with a template where every kernel needs one', async () => {
    server.answers['GET form'] = () =>
      json({ ...OFFERING, templates: { templates: [OFFER], required: true } });
    await open();
    expect(input('Template').value).toBe('analytics');
    expect(screen.queryByRole('option', { name: 'None' })).toBeNull();
  });

  it('says of a kernel that its template is gone', async () => {
    const config = { ...KERNEL.config, template: 'gone@0123456789ab' };
    const outdated = 'Its template “gone” is not there any longer.';
    await open({ kernel: { ...KERNEL, config, outdated } as Kernel });
    expect(screen.getByText(`Hint: ${outdated}`)).toBeTruthy();
    expect(
      screen.getByRole('option', { name: 'gone (not available)' })
    ).toBeTruthy();
  });
});

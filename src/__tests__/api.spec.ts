import { ServerConnection } from '@jupyterlab/services';
import { Api, ApiError } from '../api';
import { json, KERNEL, refuse, Server, TASK } from './server';

describe('Api', () => {
  let server: Server;
  let api: Api;

  beforeEach(() => {
    server = new Server();
    api = new Api(
      ServerConnection.makeSettings({ baseUrl: 'http://host/base/' })
    );
  });

  afterEach(() => jest.restoreAllMocks());

  it('asks below the base URL', async () => {
    await api.form();
    expect(ServerConnection.makeRequest).toHaveBeenCalledWith(
      'http://host/base/jupyterlab-pyspark-kernels/form',
      expect.objectContaining({ method: 'GET', body: undefined }),
      expect.objectContaining({ baseUrl: 'http://host/base/' })
    );
  });

  it('sends a configuration as JSON', async () => {
    expect(await api.create({ display_name: 'x' })).toEqual({
      kernel: KERNEL,
      task: null
    });
    const [request] = server.sent('POST', 'kernels');
    expect(request.body).toEqual({ display_name: 'x' });
    expect(request.headers.get('Content-Type')).toBe('application/json');
  });

  it('tells by the status whether a kernel is written or a task writes it', async () => {
    server.answers['POST kernels'] = () => json(TASK, 202);
    server.answers['PUT kernels/user/demo'] = () => json(TASK, 202);
    const begun = { kernel: null, task: TASK };
    expect(await api.create({})).toEqual(begun);
    expect(await api.edit(KERNEL, {})).toEqual(begun);
  });

  it('takes an answer without content', async () => {
    await api.cancel('t1');
    expect(server.requests[0]).toMatchObject({
      method: 'DELETE',
      path: 'tasks/t1',
      body: undefined
    });
  });

  it('says whether a preview is of an edit', async () => {
    await api.preview({}, true);
    expect(server.requests[0].path).toBe('preview?editing=true');
  });

  it('names the version that an edit began with', async () => {
    await api.edit(KERNEL, {});
    const [request] = server.sent('PUT', 'kernels/user/demo');
    expect(request.headers.get('If-Match')).toBe('"abc"');
  });

  it('quotes what stands in a path', async () => {
    server.answers['GET kernels/a%2Fb/%3Fc'] = () => json(KERNEL);
    expect(await api.kernel('a/b', '?c')).toEqual(KERNEL);
  });

  it('sends JSON to undo', async () => {
    await api.undo();
    expect(server.requests[0].body).toEqual({});
  });

  it('tells a refusal field by field', async () => {
    const errors = [
      { field: 'name', message: 'It is taken.' },
      { field: '', message: 'And more.' }
    ];
    server.answers['POST kernels'] = () => refuse(409, ...errors);
    const error = await api.create({}).catch(error => error);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      status: 409,
      reason: 'refused',
      message: 'It is taken.\nAnd more.',
      errors
    });
  });

  it.each([
    [new Response('<html>', { status: 502, statusText: 'Bad Gateway' })],
    [new Response('null', { status: 502, statusText: 'Bad Gateway' })]
  ])('understands the error of a proxy', async response => {
    server.answers['GET form'] = () => response;
    await expect(api.form()).rejects.toMatchObject({
      status: 502,
      reason: 'unknown',
      message: '502 Bad Gateway',
      errors: []
    });
  });

  it('does not take the page of a proxy for an answer', async () => {
    server.answers['GET form'] = () => new Response('<html>Log in</html>');
    await expect(api.form()).rejects.toMatchObject({
      status: 200,
      reason: 'no-json'
    });
  });

  it('understands the error of a server without our extension', async () => {
    server.answers['GET form'] = () =>
      json({ message: 'Not Found', reason: null }, 404);
    await expect(api.form()).rejects.toMatchObject({
      status: 404,
      message: 'Not Found',
      errors: []
    });
  });
});

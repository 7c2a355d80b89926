import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen } from '@testing-library/dom';
import { late } from '../late';

const trans = nullTranslator.load('');

it('gives what the part gives', async () => {
  const load = async () => ({ double: async (number: number) => 2 * number });
  expect(await late(trans, load, ({ double }) => double(21))).toBe(42);
});

it('says that a part cannot be loaded', async () => {
  jest.spyOn(console, 'warn').mockImplementation();
  const use = jest.fn();
  const done = late(trans, () => Promise.reject(new Error('404')), use);
  await screen.findByText(/Reload the page/);
  fireEvent.click(screen.getByText('Close'));
  expect(await done).toBeNull();
  expect(use).not.toHaveBeenCalled();
});

it('leaves what the part fails with to whoever asked', async () => {
  const fail = () => Promise.reject(new Error('of the part'));
  await expect(
    late(
      trans,
      async () => fail,
      use => use()
    )
  ).rejects.toThrow('of the part');
});

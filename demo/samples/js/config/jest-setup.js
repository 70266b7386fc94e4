jest.retryTimes(1);
